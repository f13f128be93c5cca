"""`plumbline serve`: runs the monitors of the configuration until it is asked to stop.

`Service.run` reads as a table of contents. Schedules fall due in one thread, which hands the work to lanes: one for
each monitor, so that no monitor runs twice at a time, and one for each chore. The main thread waits for signals and
is the only one that changes the configuration.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Literal

from jobs.app import App
from jobs.checks import refuse_bad_service
from jobs.serving.config_file import ConfigFile
from jobs.serving.housekeeping import Housekeeping, deliver, send_heartbeat, tidy, work_requests
from jobs.serving.lanes import Lanes
from jobs.serving.monitoring import Monitoring
from jobs.serving.scheduler import Scheduler
from jobs.serving.service_state import ServiceState
from jobs.serving.trainer import Trainer
from jobs.store.events import NewEvent
from jobs.timing import Timing
from schemas.config import Config
from schemas.errors import ConfigError, PlumblineError

if TYPE_CHECKING:
    from jobs.api import ApiServer

_log = logging.getLogger("plumbline")

_MONITORS_AT_ONCE = 4
_CHORES = {
    "configuration": Timing("2s"),
    "recovery": Timing("2s"),
    "heartbeat": Timing("5s"),
    "alerts": Timing("5s"),
    "schedules": Timing("5s"),
    "requests": Timing("5s"),
    "tidying": Timing("1h"),
}
_WAKE_SECONDS = 0.5
_END_SECONDS = 9.0  # for everything else, once no batch is computed any more
_FIXED = ("store", "runtime", "service")  # sections that count from the next start

Wish = Literal["stop", "reload"]


class Service:
    """A process that serves.

    Args:
        app: the application.

    Raises:
        ConfigError: where a schedule or a channel in the configuration is wrong.
        StoreError: where the store cannot be reached.
    """

    def __init__(self, app: App) -> None:
        refuse_bad_service(app.config)
        self._app = app
        self._live = ServiceState(app)
        self._wishes: SimpleQueue[Wish] = SimpleQueue()
        self._config_file = ConfigFile(app.path)
        self._trainer = Trainer(app.path)
        self._monitoring = Monitoring(self._live)
        self._chores = Housekeeping(self._all_chores(), self._live.clock)
        self._lanes = {
            "score": Lanes(self._monitoring.score, _MONITORS_AT_ONCE),
            "chore": Lanes(self._chores.do, len(_CHORES)),
        }
        self._scheduler = Scheduler(self._fall_due)
        self._api: ApiServer | None = None

    def run(self) -> None:
        """Serve until asked to stop, and then until the current batches are finished."""
        self._start()
        while self._next_wish() == "reload":
            self._reload()
        self._stop()

    def ask(self, wish: Wish) -> None:
        """Ask the service to stop, or to read its configuration anew; safe in a signal handler."""
        self._wishes.put(wish)

    def listen_to_signals(self) -> None:
        """SIGTERM and SIGINT stop the service after the current batches, a second one at once; SIGHUP reloads."""

        def stop(number: int, _frame: FrameType | None) -> None:
            if self._live.is_stopping:
                self._trainer.kill()
                os._exit(128 + number)
            self._live.is_stopping = True
            self.ask("stop")

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        signal.signal(signal.SIGHUP, lambda _number, _frame: self.ask("reload"))

    def _start(self) -> None:
        live = self._live
        if live.config.service.api:
            from jobs.api import ApiServer

            self._api = ApiServer(live, live.config.service.host, live.config.service.port)
            self._api.start()
        self._scheduler.set_jobs(_timings(live.config))
        self._scheduler.start()
        for name, due_at in self._monitoring.missed():
            self._lanes["score"].submit(name, due_at)
        _log.info("serving", extra={"facts": {"worker": live.worker.id, "monitors": len(live.config.monitors)}})

    def _reload(self) -> None:
        try:
            config = self._app.read_config()
            refuse_bad_service(config)
            _refuse_fixed_changes(self._live.config, config)
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with the new one, the old one goes on
            self._note_refusal(exc)
            return
        self._live.config = config
        self._live.scorers.keep(config.monitors)
        self._monitoring.keep(set(config.monitors))
        self._scheduler.set_jobs(_timings(config))
        _log.info("the configuration was read anew", extra={"facts": {"monitors": len(config.monitors)}})

    def _stop(self) -> None:
        _log.info("stopping: no batch is begun any more, and the current ones are finished")
        self._live.is_stopping = True
        self._scheduler.stop()
        for lanes in self._lanes.values():
            lanes.stop()
        if self._api is not None:
            self._api.stop()
        self._trainer.stop()
        self._lanes["score"].wait()
        _end_within(_END_SECONDS)
        for lanes in self._lanes.values():
            lanes.wait()
        self._say_goodbye()

    def _next_wish(self) -> Wish:
        """Wait for a wish.

        Signals are handled in this thread, and where the system has another one take a signal this one sleeps on:
        so it wakes up by itself now and then.
        """
        while True:
            with suppress(Empty):
                return self._wishes.get(timeout=_WAKE_SECONDS)

    def _fall_due(self, job: str, due_at: datetime) -> None:
        kind, _, name = job.partition(" ")
        self._lanes[kind].submit(name, due_at)

    def _all_chores(self) -> dict[str, Callable[[], None]]:
        live = self._live
        return {
            "heartbeat": lambda: send_heartbeat(live, self._next_runs()),
            "recovery": self._recover,
            "alerts": partial(deliver, live),
            "schedules": self._monitoring.ask_for_trainings,
            "requests": partial(work_requests, live, self._trainer),
            "configuration": self._look_for_change,
            "tidying": partial(tidy, live),
        }

    def _recover(self) -> None:
        """Take up what failed, and what dead processes left behind."""
        for name in self._live.config.monitors:
            if not self._lanes["score"].is_busy(name) and self._monitoring.wants_work(name):
                self._lanes["score"].submit(name, None)

    def _look_for_change(self) -> None:
        if self._config_file.has_changed():
            self.ask("reload")

    def _next_runs(self) -> dict[str, datetime]:
        times = self._scheduler.next_runs()
        return {name: times[job] for name in self._live.config.monitors if (job := f"score {name}") in times}

    def _note_refusal(self, exc: Exception) -> None:
        live = self._live
        message = f"The changed configuration was refused, and the old one stays in force: {exc}"
        _log.error("%s", message)
        try:
            live.store.events.add(NewEvent("config_refused", message), live.clock(), live.config.alerts.channels)
        except PlumblineError as error:
            _log.error("the refusal could not be recorded: %s", error)

    def _say_goodbye(self) -> None:
        try:
            self._live.store.workers.record_stop(self._live.worker.id, self._live.clock())
        except PlumblineError as exc:
            _log.warning("the end could not be recorded: %s", exc)
        _log.info("stopped")


def _end_within(seconds: float) -> None:
    """Let whatever hangs in the network then, where nothing of it can be lost, end with the process."""
    timer = threading.Timer(seconds, os._exit, [0])
    timer.daemon = True
    timer.start()


def _timings(config: Config) -> dict[str, Timing]:
    """Every job of the service by kind and name."""
    timings = {f"chore {name}": timing for name, timing in _CHORES.items()}
    for name, monitor in config.monitors.items():
        if monitor.score_every is not None:
            timings[f"score {name}"] = Timing(monitor.score_every, monitor.time_zone)
    return timings


def _refuse_fixed_changes(old: Config, new: Config) -> None:
    changed = [f"[{section}]" for section in _FIXED if getattr(old, section) != getattr(new, section)]
    if changed:
        raise ConfigError(f"{' and '.join(changed)} cannot change while the service runs. Start it anew for that.")
