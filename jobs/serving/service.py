"""`plumbline serve`: runs the monitors of the configuration until it is stopped; `plumbline work` runs a part of it.

`Service.run` reads as a table of contents. The scheduler's thread submits due jobs to thread pools, which run each
monitor and each chore at most once at a time. The main thread waits for signals, and is the only one that replaces
the configuration.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Literal

from jobs.app import App
from jobs.checks import refuse_bad_service
from jobs.config_file import ConfigFile
from jobs.database_calls import CALLS
from jobs.serving.api_view import ApiView
from jobs.serving.champion_rates import ChampionRates
from jobs.serving.housekeeping import (
    Housekeeping,
    clean_up_workers,
    prune_store,
    send_alerts,
    send_heartbeat,
    start_requested_trainings,
)
from jobs.serving.keyed_thread_pool import KeyedThreadPool
from jobs.serving.monitor_runs import MonitorRuns, score_new_records, score_planned_batches
from jobs.serving.scheduler import Scheduler
from jobs.serving.service_state import ServiceState
from jobs.serving.trainer import Trainer
from jobs.settings_in_force import config_in_force, refuse_unfit_tunings
from jobs.store.events import NewEvent
from jobs.timing import Timing
from schemas.config import Config
from schemas.errors import ConfigError, PlumblineError

if TYPE_CHECKING:
    from jobs.api import ApiServer

_log = logging.getLogger("plumbline")

_MONITORS_IN_PARALLEL = 4
_CHORE_TIMINGS = {
    "configuration": Timing("2s"),
    "recovery": Timing("2s"),
    "waits": Timing("2s"),
    "heartbeat": Timing("5s"),
    "alerts": Timing("5s"),
    "schedules": Timing("5s"),
    "requests": Timing("5s"),
    "tidying": Timing("1h"),
    "retention": Timing("1h"),
}
_WORKER_CHORES = ("configuration", "recovery", "heartbeat", "waits")
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 5.0  # for a statement when the service stops; then it is cancelled
_GIVE_UP_SECONDS = 12.0  # for runs whose statements cannot be cancelled
_SHUTDOWN_SECONDS = 9.0  # for everything else, once the current batches are finished
_FIXED_SECTIONS = ("store", "runtime", "service")  # a change takes effect at the next start

Command = Literal["stop", "reload"]
Role = Literal["serve", "work"]
"""A process that serves does everything; one that works only scores batches that others planned."""


class Service:
    """A serving process.

    Args:
        app: the application.
        role: of the process.

    Raises:
        ConfigError: If a schedule or a channel in the configuration is invalid.
        StoreError: If the store cannot be reached.
    """

    def __init__(self, app: App, role: Role = "serve") -> None:
        refuse_bad_service(app.config)
        refuse_unfit_tunings(app.store, app.config)
        self._app, self._is_worker = app, role == "work"
        self._state = ServiceState(app)
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._config_file = ConfigFile(app.path)
        self._trainer = Trainer(app.path)
        run = score_planned_batches if self._is_worker else score_new_records
        self._monitor_runs = MonitorRuns(self._state, run)
        self._champion_rates = ChampionRates(self._state.store)
        self._housekeeping = Housekeeping(self._chores(), self._state.clock)
        self._pools = {
            "score": KeyedThreadPool(self._monitor_runs.score, _MONITORS_IN_PARALLEL, self._state.waits),
            "chore": KeyedThreadPool(self._housekeeping.run, len(_CHORE_TIMINGS)),
        }
        self._scheduler = Scheduler(self._submit)
        self._api: ApiServer | None = None

    def run(self) -> None:
        """Serve until stopped, and then until the current batches are finished."""
        self._start()
        while self._next_command() == "reload":
            self._reload()
        self._stop()

    def send(self, command: Command) -> None:
        """Stop the service, or reload its configuration; safe in a signal handler."""
        self._commands.put(command)

    def handle_signals(self) -> None:
        """Stop on SIGTERM and SIGINT after the current batches, on a second one at once; reload on SIGHUP."""

        def stop(number: int, _frame: FrameType | None) -> None:
            if self._state.is_stopping:
                self._trainer.kill()
                os._exit(128 + number)
            self._state.is_stopping = True
            self.send("stop")

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        signal.signal(signal.SIGHUP, lambda _number, _frame: self.send("reload"))

    def _start(self) -> None:
        if not self._is_worker:
            self._start_api()
        self._scheduler.set_jobs(self._timings())
        self._scheduler.start()
        self._pools["chore"].submit("heartbeat", None)  # so that `status` shows the process at once
        if not self._is_worker:
            self._register_monitors()
            for name, due_at in self._monitor_runs.missed_runs():
                self._pools["score"].submit(name, due_at)
        facts = {"worker": self._state.worker.id, "monitors": len(self._state.config.monitors)}
        _log.info("working" if self._is_worker else "serving", extra={"facts": facts})

    def _start_api(self) -> None:
        settings = self._state.config.service
        if settings.api:
            from jobs.api import ApiServer

            self._api = ApiServer(ApiView(self._state), settings.host, settings.port)
            self._api.start()

    def _reload(self) -> None:
        try:
            config = self._app.read_config()
            refuse_bad_service(config)
            _refuse_fixed_changes(self._state.config, config)
            refuse_unfit_tunings(self._state.store, config)
            in_force = (config_in_force(self._state.store, each) for each in (self._state.config, config))
            self._champion_rates.refuse_unresolved(*in_force)
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with the new one, the old one stays in force
            self._record_refusal(exc)
            return
        self._state.config = config
        if not self._is_worker:
            self._register_monitors()
        self._state.scorers.keep(config.monitors)
        self._monitor_runs.keep(set(config.monitors))
        self._scheduler.set_jobs(self._timings())
        _log.info("configuration reloaded", extra={"facts": {"monitors": len(config.monitors)}})

    def _stop(self) -> None:
        _log.info("stopping: finishing current batches")
        self._state.is_stopping = True
        CALLS.end_within(_PATIENCE_SECONDS)
        self._scheduler.stop()
        for pool in self._pools.values():
            pool.stop()
        if self._api is not None:
            self._api.stop()
        training = threading.Thread(target=self._stop_training, name="training", daemon=True)
        training.start()  # while the runs finish, as both may wait for the store
        _exit_after(_SHUTDOWN_SECONDS if self._finish_runs() else _POLL_SECONDS)
        training.join()
        self._pools["chore"].wait()
        self._record_stop()

    def _finish_runs(self) -> bool:
        """Wait until the runs have finished their batches; return False if some wait for a database for too long."""
        give_up_at = time.monotonic() + _GIVE_UP_SECONDS
        pool = self._pools["score"]
        while not pool.wait(_POLL_SECONDS):
            waiting = CALLS.waiting(longer_than=_POLL_SECONDS)
            if time.monotonic() > give_up_at and pool.running() <= waiting.keys():
                _log.warning("gave up runs that wait for a database", extra={"facts": {"monitors": sorted(waiting)}})
                return False
        return True

    def _stop_training(self) -> None:
        """End the training; a process that was killed could not release its request."""
        self._trainer.stop()
        if not self._trainer.has_started:
            return  # without a look at the store, which may be locked
        try:
            self._state.store.requests.release_all(self._trainer.claimant)
        except PlumblineError as exc:
            _log.warning("could not release the retrain request of the ended training: %s", exc)

    def _next_command(self) -> Command:
        """Wait for a command.

        Python runs signal handlers in this thread, but the system may deliver a signal to another one, and this
        thread then keeps sleeping: so it wakes up regularly.
        """
        while True:
            with suppress(Empty):
                return self._commands.get(timeout=_POLL_SECONDS)

    def _submit(self, job: str, due_at: datetime) -> None:
        kind, _, name = job.partition(" ")
        self._pools[kind].submit(name, due_at)

    def _chores(self) -> dict[str, Callable[[], None]]:
        state = self._state
        chores: dict[str, Callable[[], None]] = {
            "heartbeat": lambda: send_heartbeat(state, self._next_runs()),
            "recovery": self._resume_unfinished_work,
            "waits": self._make_room_for_others,
            "alerts": partial(send_alerts, state),
            "schedules": self._monitor_runs.request_due_trainings,
            "requests": partial(start_requested_trainings, state, self._trainer),
            "configuration": self._detect_config_change,
            "tidying": partial(clean_up_workers, state),
            "retention": partial(prune_store, state),
        }
        return {name: chores[name] for name in self._chore_names()}

    def _chore_names(self) -> Iterable[str]:
        return _WORKER_CHORES if self._is_worker else _CHORE_TIMINGS

    def _timings(self) -> dict[str, Timing]:
        """Return the timing of every job, by kind and name."""
        chores = {f"chore {name}": _CHORE_TIMINGS[name] for name in self._chore_names()}
        return chores if self._is_worker else chores | _schedules(self._state.config)

    def _resume_unfinished_work(self) -> None:
        """Retry failed runs, and take over batches of dead processes."""
        for name in self._state.config.monitors:
            if not self._pools["score"].is_busy(name) and self._monitor_runs.needs_run(name):
                self._pools["score"].submit(name, None)

    def _make_room_for_others(self) -> None:
        """Start monitors in place of those that wait for a database, and record the waits."""
        self._pools["score"].start_queued()
        self._monitor_runs.record_waits()

    def _detect_config_change(self) -> None:
        if self._config_file.has_changed() or self._champion_rates.may_be_resolved():
            self.send("reload")

    def _next_runs(self) -> dict[str, datetime]:
        times = self._scheduler.next_runs()
        return {name: times[job] for name in self._state.config.monitors if (job := f"score {name}") in times}

    def _register_monitors(self) -> None:
        """Make the store accept retrain requests for every configured monitor."""
        try:
            self._state.store.monitors.register(self._state.config.monitors)
        except PlumblineError as exc:  # the first run of a monitor registers it too
            _log.warning("could not register the monitors: %s", exc)

    def _record_refusal(self, exc: Exception) -> None:
        state = self._state
        message = f"The changed configuration was refused, and the old one stays in force: {exc}"
        _log.error("%s", message)
        try:
            state.store.events.add(NewEvent("config_refused", message), state.clock(), state.config.alerts.channels)
        except PlumblineError as error:
            _log.error("could not record the refused configuration: %s", error)

    def _record_stop(self) -> None:
        try:
            self._state.store.workers.record_stop(self._state.worker.id, self._state.clock())
        except PlumblineError as exc:
            _log.warning("could not record the stop: %s", exc)
        _log.info("stopped")


def _exit_after(seconds: float) -> None:
    """End the process after a time, for chores that hang in the network; they can lose nothing."""
    timer = threading.Timer(seconds, os._exit, [0])
    timer.daemon = True
    timer.start()


def _schedules(config: Config) -> dict[str, Timing]:
    """Return the timing of the scoring of each scheduled monitor, by the name of its job."""
    return {
        f"score {name}": Timing(monitor.score_every, monitor.time_zone)
        for name, monitor in config.monitors.items()
        if monitor.score_every is not None
    }


def _refuse_fixed_changes(old: Config, new: Config) -> None:
    sections = [f"[{section}]" for section in _FIXED_SECTIONS if getattr(old, section) != getattr(new, section)]
    if sections:
        raise ConfigError(f"{' and '.join(sections)} cannot change while the service runs. Restart it to apply them.")
