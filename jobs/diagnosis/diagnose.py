"""Runs the diagnoses of a monitor, as far as its table and its model can be read."""

from collections.abc import Iterator, Sequence

from jobs.checks import check_monitor
from jobs.diagnosis import alerts, flags, model, progress, schedules
from jobs.diagnosis.case import Case, Diagnosis, Problem
from schemas.errors import ArtifactError, NoChampion, RateTooSmall, RecordsError, SourceError


def diagnose(case: Case) -> list[Problem]:
    """Return every problem of a monitor, in the order in which one would mend them.

    Raises:
        StoreError: If the store cannot be read.
    """
    problems = [*_table(case), *_run(schedules.DIAGNOSES, case)]
    if _is_readable(case):
        problems += _run(progress.DIAGNOSES, case)
    problems += _model(case)
    return list(dict.fromkeys(problems))


def _table(case: Case) -> Iterator[Problem]:
    """Yield what a check of the configuration against the table finds, without what only costs time."""
    for finding in check_monitor(case.name, case.monitor, case.source):
        if finding.level != "ok" and not finding.is_about_speed:
            yield Problem(finding.message, f"Then run: plumbline check {case.name}")


def _is_readable(case: Case) -> bool:
    """Return whether the table can be read and holds records; if not, `check` has reported it."""
    try:
        return not case.newest.empty
    except (SourceError, RecordsError):
        return False


def _model(case: Case) -> Iterator[Problem]:
    """Yield the problems of the champion, of its flags and of its alerts."""
    try:
        _ = case.scorer
    except NoChampion:
        yield from _run(model.WITHOUT_CHAMPION, case)
        return
    except (ArtifactError, RateTooSmall, RecordsError) as exc:
        yield Problem(f"The champion cannot score: {exc}", f"Then run: plumbline train {case.name}")
        return
    yield from _run(alerts.DIAGNOSES, case)
    if _is_readable(case):
        yield from _run([*model.DIAGNOSES, *flags.DIAGNOSES], case)


def _run(diagnoses: Sequence[Diagnosis], case: Case) -> Iterator[Problem]:
    """Yield the problems of diagnoses; a diagnosis that fails is a problem too, and the others still run."""
    for diagnosis in diagnoses:
        try:
            yield from diagnosis(case)
        except (ArtifactError, RecordsError, SourceError) as exc:
            yield Problem(str(exc), f"Then run: plumbline doctor {case.name}")
