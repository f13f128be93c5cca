"""Diagnoses of when a monitor is scored."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from jobs.checks import check_service
from jobs.diagnosis.case import Case, Diagnosis, Problem
from jobs.timing import Timing
from jobs.wording import duration
from schemas.errors import ConfigError

_MISSED_RUNS = 2  # due times without a run, after which a schedule counts as not served


def wrong_schedules(case: Case) -> Iterator[Problem]:
    """Report schedules that are invalid or never fall due, and channels that cannot be used."""
    alone = case.config.model_copy(update={"monitors": {case.name: case.monitor}})
    for finding in check_service(alone):
        yield Problem(finding.message, "Correct it in config.toml; `plumbline serve` does not start with it.")


def failed_runs(case: Case) -> Iterator[Problem]:
    """Report the last run of each kind, if it failed."""
    for kind, run in case.overview.last_runs.items():
        if run.outcome == "failed" and run.finished_at is not None:
            ago = duration((case.at - run.finished_at).total_seconds())
            yield Problem(f"The last run of {kind!r} failed {ago} ago: {run.message}", f"Then run: plumbline {kind}")


def not_served(case: Case) -> Iterator[Problem]:
    """Report a monitor that has a champion and is not scored by anything."""
    if case.champion is None or case.overview.next_run is not None:
        return
    run, schedule = case.overview.last_runs.get("score"), case.monitor.score_every
    advice = f"Start `plumbline serve`, or run from cron: plumbline score {case.name}"
    if run is None:
        yield Problem("Nothing has been scored yet.", f"Score once with: plumbline score {case.name}. {advice}")
    elif schedule is not None and (due := _due_before(case, schedule)) is not None and run.started_at < due:
        ago = duration((case.at - run.started_at).total_seconds())
        yield Problem(
            f"No process serves the monitor: its schedule is {schedule!r}, and it was last scored {ago} ago.", advice
        )


def _due_before(case: Case, schedule: str) -> datetime | None:
    """Return a due time that lies some runs back; None if the schedule is invalid or never falls due."""
    timing, due = Timing(schedule, case.monitor.time_zone), case.at
    try:
        for _ in range(_MISSED_RUNS):
            last = timing.last_due(due - timedelta(microseconds=1))
            if last is None:
                return None
            due = last
    except ConfigError:
        return None
    return due


DIAGNOSES: Sequence[Diagnosis] = (wrong_schedules, failed_runs, not_served)
