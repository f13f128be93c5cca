"""What a monitor's schedules start: scoring with all that follows it, and requests to train."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from jobs.logs import log_context
from jobs.runs import RunOrigin
from jobs.serving.backoff import Backoff
from jobs.serving.service_state import ServiceState
from jobs.store.events import NewEvent
from jobs.store.requests import RequestQuery
from jobs.timing import Timing
from schemas.config import MonitorConfig
from schemas.errors import NoChampion, PlumblineError

_log = logging.getLogger("plumbline")

LATE = timedelta(minutes=1)
"""A run that starts later than this after its due time is an event."""
_FAILING = 3  # failures in a row that are an event
_BY_SCHEDULE = "schedule"


class Monitoring:
    """The runs of every monitor.

    Args:
        live: the process that serves.
    """

    def __init__(self, live: ServiceState) -> None:
        self._live = live
        self._backoffs: dict[str, Backoff] = {}
        self._owed: dict[str, datetime] = {}  # the due time of a run that failed, until one succeeds in its place
        self._untrained: set[str] = set()
        self._well: set[str] = set()  # whose last run in this process succeeded

    def score(self, name: str, due_at: datetime | None) -> None:
        """Score what is new in a monitor's table, or was left undone; a failure is on record and tried again."""
        monitor = self._live.config.monitors.get(name)
        if monitor is None or self._live.is_stopping or not self._backoff(name).is_over(self._live.clock()):
            return
        with log_context(monitor=name):
            try:
                self._note_late_start(name, due_at)
                self._score(name, monitor, self._owed.get(name, due_at))
                self._note_success(name)
            except NoChampion as exc:
                self._wait_for_training(name, exc)
            except Exception as exc:  # noqa: BLE001 - no failure of one monitor may end the others
                self._note_failure(name, monitor, due_at, exc)

    def ask_for_trainings(self) -> None:
        """Ask for each training that a schedule wants since the last one, unless another process has done so."""
        store, at = self._live.store, self._live.clock()
        for name, monitor in self._live.config.monitors.items():
            if monitor.retrain.every is None:
                continue
            last = store.runs.last_started(name, "train") or self._live.worker.started_at
            due_at = Timing(monitor.retrain.every, monitor.time_zone).last_due(at)
            if due_at is not None and due_at > last and not self._is_asked_for(name, due_at):
                store.requests.add(name, _BY_SCHEDULE, at)
                _log.info("the schedule asks for a training", extra={"facts": {"monitor": name}})

    def wants_work(self, name: str) -> bool:
        """Whether a failed run is to be tried again now, or batches wait that a dead process left behind."""
        at = self._live.clock()
        backoff = self._backoff(name)
        if not backoff.is_over(at) or name in self._untrained:
            return False
        in_order = self._live.config.monitor(name).is_in_order
        return backoff.has_failed or self._live.store.ledger.has_claimable(name, at, in_order=in_order)

    def missed(self) -> Iterator[tuple[str, datetime]]:
        """Each monitor whose schedule fell due since its last run, while no process served, and the first such time.

        One that no process has ever served has missed nothing, though it may have been scored by hand.
        """
        for name, monitor in self._live.config.monitors.items():
            last = self._live.store.runs.last_started(name, "score")
            if monitor.score_every is not None and last is not None and self._live.store.runs.was_served(name):
                due_at = Timing(monitor.score_every, monitor.time_zone).next_due(last)
                if due_at is not None and due_at <= self._live.clock():
                    yield name, due_at

    def keep(self, names: set[str]) -> None:
        """Forget what is known of all other monitors."""
        self._untrained.clear()
        for name in set(self._backoffs) - names:
            self._backoffs.pop(name, None)
            self._owed.pop(name, None)

    def _score(self, name: str, monitor: MonitorConfig, due_at: datetime | None) -> None:
        from jobs.drift import assess_drift
        from jobs.scoring.run import score_monitor

        live = self._live
        with live.watching(name) as source:
            report = score_monitor(
                source,
                live.store,
                live.clock,
                load=live.scorers.load,
                should_stop=lambda: live.is_stopping,
                run=RunOrigin(due_at, live.worker.id),
            )
        if report.batches:
            facts = {"batches": report.batches, "records": report.records, "anomalies": report.anomalies}
            _log.info("scored", extra={"facts": facts})
        assess_drift(live.store, name, monitor, live.clock)

    def _is_asked_for(self, name: str, due_at: datetime) -> bool:
        asked = self._live.store.requests.page(RequestQuery(monitor=name, reason=_BY_SCHEDULE, limit=1))
        return bool(asked) and asked[0].requested_at >= due_at

    def _note_late_start(self, name: str, due_at: datetime | None) -> None:
        at = self._live.clock()
        if due_at is None or at - due_at <= LATE:
            return
        late = str(at - due_at).split(".", maxsplit=1)[0]
        message = f"A run of monitor {name!r} was due at {due_at:%Y-%m-%d %H:%M:%S} UTC and started {late} late."
        self._live.store.events.add(NewEvent("missed_run", message, name, since=due_at), at)
        _log.warning("a run starts late", extra={"facts": {"due_at": due_at.isoformat(), "late": late}})

    def _wait_for_training(self, name: str, exc: NoChampion) -> None:
        if name not in self._untrained:
            self._untrained.add(name)
            _log.warning("%s", exc)

    def _note_failure(self, name: str, monitor: MonitorConfig, due_at: datetime | None, exc: Exception) -> None:
        if due_at is not None:
            self._owed.setdefault(name, due_at)
        failures = self._backoff(name).failed(self._live.clock())
        is_meant = isinstance(exc, PlumblineError)
        _log.error("a run failed: %s", exc, exc_info=None if is_meant else exc, extra={"facts": {"failures": failures}})
        self._well.discard(name)
        if failures >= _FAILING:
            self._report_failing(name, monitor, exc)

    def _report_failing(self, name: str, monitor: MonitorConfig, exc: Exception) -> None:
        at = self._live.clock()
        message = f"Monitor {name!r} has failed {_FAILING} times in a row: {exc}"
        try:
            self._live.store.events.open(NewEvent("failing", message, name), at, monitor.channels)
        except PlumblineError as error:  # where the store is what fails, nothing can be kept there
            _log.error("that a monitor fails could not be recorded: %s", error)

    def _note_success(self, name: str) -> None:
        if name not in self._well:  # the event may be of a process before this one
            self._live.store.events.close("failing", name, self._live.clock())
            self._well.add(name)
        self._untrained.discard(name)
        self._owed.pop(name, None)
        if failures := self._backoff(name).succeeded():
            _log.info("a run has succeeded again", extra={"facts": {"failures": failures}})

    def _backoff(self, name: str) -> Backoff:
        return self._backoffs.setdefault(name, Backoff())
