"""The scheduled work of monitors: scoring runs with retries, and retrain requests that are due."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from jobs.database_calls import Wait, working_for
from jobs.logs import log_context
from jobs.runs import RunOrigin
from jobs.serving.backoff import Backoff
from jobs.serving.service_state import ServiceState
from jobs.start_up import return_memory
from jobs.store.events import NewEvent
from jobs.store.requests import RequestQuery
from jobs.timing import Timing
from jobs.wording import utc
from schemas.config import MonitorConfig
from schemas.errors import NoChampion, PlumblineError

_log = logging.getLogger("plumbline")

LATE_AFTER = timedelta(minutes=1)
"""A run that starts later than this after its due time is recorded as an event."""
_FAILURES_UNTIL_EVENT = 3
_SCHEDULE_REASON = "schedule"


Run = Callable[[ServiceState, str, MonitorConfig, datetime | None], None]


def score_new_records(state: ServiceState, name: str, monitor: MonitorConfig, due_at: datetime | None) -> None:
    """Score new, changed and unfinished records of a monitor, and assess its drift."""
    from jobs.drift import assess_drift
    from jobs.scoring.run import score_monitor

    with state.open_source(name) as source:
        report = score_monitor(
            source,
            state.store,
            state.clock,
            load=state.scorers.load,
            should_stop=lambda: state.is_stopping,
            run=RunOrigin(due_at, state.worker.id),
        )
    _log_scored(report.batches, report.records, report.anomalies)
    assess_drift(state.store, name, monitor, state.clock)
    if report.batches:
        return_memory()


def score_planned_batches(state: ServiceState, name: str, _monitor: MonitorConfig, _due_at: datetime | None) -> None:
    """Score the batches of a monitor that other processes planned or left undone."""
    from jobs.scoring.run import score_planned

    with state.open_source(name) as source:
        counts = score_planned(
            source, state.store, state.clock, load=state.scorers.load, should_stop=lambda: state.is_stopping
        )
    _log_scored(counts["batches"], counts["records"], counts["anomalies"])
    if counts["batches"]:
        return_memory()


def _log_scored(batches: int, records: int, anomalies: int) -> None:
    if batches:
        _log.info("scored", extra={"facts": {"batches": batches, "records": records, "anomalies": anomalies}})


class MonitorRuns:
    """The runs of every monitor in this process.

    Args:
        state: the serving process.
        run: scores a monitor.
    """

    def __init__(self, state: ServiceState, run: Run = score_new_records) -> None:
        self._state, self._run = state, run
        self._backoffs: dict[str, Backoff] = {}
        self._failed_due_at: dict[str, datetime] = {}  # until a later run succeeds in place of the failed one
        self._untrained: set[str] = set()
        self._succeeded: set[str] = set()  # monitors whose last run in this process succeeded
        self._waiting: set[str] = set()  # monitors whose wait is recorded, until a run succeeds

    def score(self, name: str, due_at: datetime | None) -> None:
        """Score the new and the unfinished records of a monitor; record a failure, to be retried."""
        monitor = self._state.config.monitors.get(name)
        if monitor is None or self._state.is_stopping or not self._backoff(name).may_retry(self._state.clock()):
            return
        with log_context(monitor=name), working_for(name):
            try:
                self._record_late_start(name, due_at)
                self._run(self._state, name, monitor, self._failed_due_at.get(name, due_at))
                self._record_success(name)
            except NoChampion as exc:
                self._wait_for_training(name, exc)
            except Exception as exc:  # noqa: BLE001 - no failure of one monitor may end the others
                self._record_failure(name, monitor, due_at, exc)

    def request_due_trainings(self) -> None:
        """Request each training that fell due since the last one, unless another process has requested it."""
        store, at = self._state.store, self._state.clock()
        for name, monitor in self._state.config.monitors.items():
            if monitor.retrain.every is None:
                continue
            last = store.runs.last_started(name, "train") or self._state.worker.started_at
            due_at = Timing(monitor.retrain.every, monitor.time_zone).last_due(at)
            if due_at is not None and due_at > last and not self._is_requested(name, due_at):
                store.requests.add(name, _SCHEDULE_REASON, at)
                _log.info("queued a scheduled retrain request", extra={"facts": {"monitor": name}})

    def needs_run(self, name: str) -> bool:
        """Return whether a failed run may be retried now, or a dead process left batches behind."""
        at = self._state.clock()
        backoff = self._backoff(name)
        if not backoff.may_retry(at) or name in self._untrained:
            return False
        return backoff.has_failed or self._state.store.ledger.has_claimable(name, at)

    def record_waits(self) -> None:
        """Record the runs that wait for a database, once until a run succeeds.

        Raises:
            StoreError: If the store cannot record it; it may be the database that is waited for.
        """
        for name, wait in self._state.waits().items():
            monitor = self._state.config.monitors.get(name)
            if monitor is not None and name not in self._waiting:
                event = _waiting_event(name, wait, self._state.clock())
                _log.warning("%s", event.message)
                self._succeeded.discard(name)
                self._state.store.events.open(event, self._state.clock(), monitor.channels)
                self._waiting.add(name)

    def missed_runs(self) -> Iterator[tuple[str, datetime]]:
        """Yield each monitor that fell due since its last run while no process served, and its first due time.

        A monitor that no process has ever served has no missed runs, though it may have been scored by hand.
        """
        for name, monitor in self._state.config.monitors.items():
            last = self._state.store.runs.last_started(name, "score")
            if monitor.score_every is not None and last is not None and self._state.store.runs.was_served(name):
                due_at = Timing(monitor.score_every, monitor.time_zone).next_due(last)
                if due_at is not None and due_at <= self._state.clock():
                    yield name, due_at

    def keep(self, names: set[str]) -> None:
        """Discard the state of all other monitors."""
        self._untrained.clear()
        for name in set(self._backoffs) - names:
            self._backoffs.pop(name, None)
            self._failed_due_at.pop(name, None)

    def _is_requested(self, name: str, due_at: datetime) -> bool:
        query = RequestQuery(monitor=name, reason=_SCHEDULE_REASON, limit=1)
        requests = self._state.store.requests.page(query)
        return bool(requests) and requests[0].requested_at >= due_at

    def _record_late_start(self, name: str, due_at: datetime | None) -> None:
        at = self._state.clock()
        if due_at is None or at - due_at <= LATE_AFTER:
            return
        delay = str(at - due_at).split(".", maxsplit=1)[0]
        message = f"A run of monitor {name!r} was due at {utc(due_at)} and started {delay} late."
        self._state.store.events.add(NewEvent("missed_run", message, name, since=due_at), at)
        _log.warning("run started late", extra={"facts": {"due_at": due_at.isoformat(), "late": delay}})

    def _wait_for_training(self, name: str, exc: NoChampion) -> None:
        if name not in self._untrained:
            self._untrained.add(name)
            _log.warning("%s", exc)

    def _record_failure(self, name: str, monitor: MonitorConfig, due_at: datetime | None, exc: Exception) -> None:
        if due_at is not None:
            self._failed_due_at.setdefault(name, due_at)
        failures = self._backoff(name).record_failure(self._state.clock())
        is_expected = isinstance(exc, PlumblineError)
        _log.error(
            "a run failed: %s", exc, exc_info=None if is_expected else exc, extra={"facts": {"failures": failures}}
        )
        self._succeeded.discard(name)
        if failures >= _FAILURES_UNTIL_EVENT:
            self._open_failing_event(name, monitor, exc)

    def _open_failing_event(self, name: str, monitor: MonitorConfig, exc: Exception) -> None:
        at = self._state.clock()
        message = f"Monitor {name!r} has failed {_FAILURES_UNTIL_EVENT} times in a row: {exc}"
        try:
            self._state.store.events.open(NewEvent("failing", message, name), at, monitor.channels)
        except PlumblineError as error:  # the store itself may be what fails
            _log.error("could not record the failing monitor: %s", error)

    def _record_success(self, name: str) -> None:
        if name not in self._succeeded:  # an earlier process may have opened the event
            for kind in ("failing", "waiting"):
                self._state.store.events.close(kind, name, self._state.clock())
            self._succeeded.add(name)
            self._waiting.discard(name)
        self._untrained.discard(name)
        self._failed_due_at.pop(name, None)
        if failures := self._backoff(name).record_success():
            _log.info("a run succeeded again", extra={"facts": {"failures": failures}})

    def _backoff(self, name: str) -> Backoff:
        return self._backoffs.setdefault(name, Backoff())


def _waiting_event(name: str, wait: Wait, at: datetime) -> NewEvent:
    message = (
        f"A run of monitor {name!r} has waited {wait.seconds:.0f} s for {wait.place}: another transaction holds a "
        "lock, or the server does not respond. End that transaction, or check the server; the run is repeated."
    )
    return NewEvent("waiting", message, name, since=at - timedelta(seconds=wait.seconds))
