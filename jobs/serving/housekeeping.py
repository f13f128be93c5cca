"""What a serving process does every few seconds beside scoring."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from jobs.logs import log_context
from jobs.serving.backoff import Backoff
from jobs.serving.service_state import ServiceState
from jobs.serving.trainer import Trainer
from schemas.errors import PlumblineError

_log = logging.getLogger("plumbline")

_DEAD = timedelta(hours=1)  # a process not seen for so long, and its clock may be minutes off, will not end its runs
_FORGOTTEN = timedelta(days=1)
_OFTEN_ENOUGH = timedelta(seconds=30)  # while the store is away; shorter than a process may be silent


class Housekeeping:
    """Work without schedule; each chore fails, and is tried again, by itself.

    Args:
        chores: by name.
        clock: the time now.
    """

    def __init__(self, chores: Mapping[str, Callable[[], None]], clock: Callable[[], datetime]) -> None:
        self._chores, self._clock = chores, clock
        self._backoffs = {name: Backoff(_OFTEN_ENOUGH) for name in chores}

    def do(self, name: str, _due_at: datetime | None) -> None:
        """Do a chore, unless it failed a short time ago."""
        backoff = self._backoffs[name]
        if not backoff.is_over(self._clock()):
            return
        with log_context(chore=name):
            try:
                self._chores[name]()
            except Exception as exc:  # noqa: BLE001 - no chore may end the service
                failures = backoff.failed(self._clock())
                is_meant = isinstance(exc, PlumblineError)
                _log.error(
                    "failed: %s", exc, exc_info=None if is_meant else exc, extra={"facts": {"failures": failures}}
                )
            else:
                if failures := backoff.succeeded():
                    _log.info("works again", extra={"facts": {"failures": failures}})


def send_heartbeat(live: ServiceState, next_runs: Mapping[str, datetime]) -> None:
    """Say that this process lives, and what it will run next."""
    live.beaten_at = live.clock()
    live.store.workers.record_heartbeat(live.worker, next_runs, live.beaten_at)


def deliver(live: ServiceState) -> None:
    """Send the alerts that wait."""
    from jobs.alerting import deliver_alerts

    alerts = live.config.alerts
    deliver_alerts(live.store.outbox, alerts.channels, alerts.per_hour, live.clock)


def work_requests(live: ServiceState, trainer: Trainer) -> None:
    """Start a training where one is asked for and none goes on."""
    code = trainer.take_result()
    if code:
        msg = f"A training ended with code {code}; the lines of the log before this say why."
        raise PlumblineError(msg)
    live.store.requests.fail_unknown(live.config.monitors, live.clock())
    if not trainer.is_busy and live.store.requests.has_claimable(live.config.monitors, live.clock()):
        trainer.start()


def tidy(live: ServiceState) -> None:
    """Close the runs of processes that have died, and forget those processes a day later."""
    at = live.clock()
    live.store.workers.close_lost_runs(at - _DEAD, at)
    live.store.workers.forget(at - _FORGOTTEN)
