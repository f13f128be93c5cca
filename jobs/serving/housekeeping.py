"""Periodic work of a serving process other than scoring: heartbeat, alerts, retrain requests, cleanup."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from jobs.logs import log_context
from jobs.serving.backoff import Backoff
from jobs.serving.service_state import ServiceState
from jobs.serving.trainer import Trainer
from schemas.errors import PlumblineError

_log = logging.getLogger("plumbline")

_LOST_AFTER = timedelta(hours=1)  # without heartbeat; its clock may be minutes off
_FORGET_AFTER = timedelta(days=1)
_MAX_RETRY_DELAY = timedelta(seconds=30)  # shorter than a process may go without a heartbeat


class Housekeeping:
    """Named chores; each fails, and is retried, independently of the others.

    Args:
        chores: by name.
        clock: returns the current time.
    """

    def __init__(self, chores: Mapping[str, Callable[[], None]], clock: Callable[[], datetime]) -> None:
        self._chores, self._clock = chores, clock
        self._backoffs = {name: Backoff(_MAX_RETRY_DELAY) for name in chores}

    def run(self, name: str, _due_at: datetime | None) -> None:
        """Run a chore, unless it failed a short time ago."""
        backoff = self._backoffs[name]
        if not backoff.may_retry(self._clock()):
            return
        with log_context(chore=name):
            try:
                self._chores[name]()
            except Exception as exc:  # noqa: BLE001 - no chore may end the service
                failures = backoff.record_failure(self._clock())
                is_expected = isinstance(exc, PlumblineError)
                _log.error(
                    "failed: %s", exc, exc_info=None if is_expected else exc, extra={"facts": {"failures": failures}}
                )
            else:
                if failures := backoff.record_success():
                    _log.info("succeeded again", extra={"facts": {"failures": failures}})


def send_heartbeat(state: ServiceState, next_runs: Mapping[str, datetime]) -> None:
    """Record a heartbeat and the next scheduled runs."""
    state.last_heartbeat_at = state.clock()
    state.store.workers.record_heartbeat(state.worker, next_runs, state.last_heartbeat_at)


def send_alerts(state: ServiceState) -> None:
    """Send the pending alerts."""
    from jobs.alerting import deliver_alerts

    alerts = state.config.alerts
    deliver_alerts(state.store.outbox, alerts.channels, alerts.per_hour, state.clock)


def start_requested_trainings(state: ServiceState, trainer: Trainer) -> None:
    """Start a training process if a retrain request is pending and none is running.

    Raises:
        PlumblineError: If the previous training process failed.
    """
    exit_code = trainer.take_exit_code()
    if exit_code:
        msg = f"A training ended with exit code {exit_code}. The log lines before this one give the reason."
        raise PlumblineError(msg)
    state.store.requests.fail_unknown(state.config.monitors, state.clock())
    if not trainer.is_busy and state.store.requests.has_claimable(state.config.monitors, state.clock()):
        trainer.start()


def clean_up_workers(state: ServiceState) -> None:
    """Close the runs of processes that died, and delete the rows of the processes a day later."""
    at = state.clock()
    state.store.workers.close_lost_runs(at - _LOST_AFTER, at)
    state.store.workers.forget(at - _FORGET_AFTER)


def prune_store(state: ServiceState) -> None:
    """Delete the rows that monitors no longer keep."""
    from jobs.retention import prune

    report = prune(state.config, state.store, state.clock, state.config.monitors, lambda: state.is_stopping)
    if report.rows:
        facts = {name: dict(kinds) for name, kinds in report.deleted.items() if kinds}
        _log.info("deleted old rows", extra={"facts": {"rows": report.rows, "by_monitor": facts}})
