"""Calls back when jobs are due. Only this module and `jobs.timing` import APScheduler."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from jobs.timing import Timing


class Scheduler:
    """Calls back when a job is due, with the job's name and the first due time that the call covers.

    A host that slept through many due times calls back once. The callback runs in the scheduler's thread,
    so it must pass the work on.

    Args:
        on_due: called with a job's name and due time.
    """

    def __init__(self, on_due: Callable[[str, datetime], None]) -> None:
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._jobs: dict[str, Timing] = {}
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": _CallbackExecutor(on_due)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self) -> None:
        """Start to call back."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop calling back."""
        if self._scheduler.running:
            self._scheduler.shutdown()

    @property
    def is_running(self) -> bool:
        """Whether the scheduler is started and not stopped."""
        return bool(self._scheduler.running)

    def set_jobs(self, jobs: Mapping[str, Timing]) -> None:
        """Replace all jobs; a job whose timing is unchanged keeps its next due time."""
        for name in self._jobs.keys() - jobs.keys():
            self._scheduler.remove_job(name)
        for name, timing in jobs.items():
            if self._jobs.get(name) != timing:
                self._scheduler.add_job(_do_nothing, _TimingTrigger(timing), id=name, name=name, replace_existing=True)
        self._jobs = dict(jobs)

    def next_runs(self) -> dict[str, datetime]:
        """Return the next due time of each job."""
        times = {job.id: getattr(job, "next_run_time", None) for job in self._scheduler.get_jobs()}
        return {name: time for name, time in times.items() if time is not None}


def _do_nothing() -> None:
    """Stand in for a job's function: the executor calls back instead, since functions do not receive due times."""


class _TimingTrigger(BaseTrigger):  # type: ignore[misc]  # the package is not typed
    """A timing as an APScheduler trigger, in UTC so that times can be compared and subtracted."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        return self._timing.next_due(previous_fire_time or now)


class _CallbackExecutor(BaseExecutor):  # type: ignore[misc]  # the package is not typed
    """Calls back in the scheduler's thread, with the first due time that was missed."""

    def __init__(self, on_due: Callable[[str, datetime], None]) -> None:
        super().__init__()
        self._on_due = on_due

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:  # noqa: ARG002
        try:
            self._on_due(job.id, job.next_run_time)
        except Exception:
            logging.getLogger("plumbline").exception("could not start the job %s", job.id)
        self._run_job_success(job.id, [])
