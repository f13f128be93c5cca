"""Diagnoses of records that do not reach the model."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pandas as pd

from jobs.diagnosis.case import Case, Diagnosis, Problem
from jobs.wording import counted_noun, duration, percent, utc
from schemas.keys import KeyRange, key_label

_CLOCK_TOLERANCE = timedelta(hours=1)
_MANY_LATE = 0.1  # share of the scored records
_MOSTLY_NULL = 0.5  # share of the newest records
_MIN_RECORDS = 20  # of the newest, to judge a feature by


def unscored_records(case: Case) -> Iterator[Problem]:
    """Report settled records that no batch holds, and batches that wait or are held."""
    if case.champion is None or "score" not in case.overview.last_runs:
        return
    if case.source.next_range(case.watermark, 1, case.settled_before) is not None:
        yield Problem("New records have not been scored.", f"Score them: plumbline score {case.name}")
    if case.overview.pending_batches:
        waiting = counted_noun(case.overview.pending_batches, "batch waits", "batches wait")
        yield Problem(f"{waiting} to be scored.", f"Score it: plumbline score {case.name}")


def settling_records(case: Case) -> Iterator[Problem]:
    """Report that every new record is younger than `settle`."""
    before = case.settled_before
    if before is None or case.monitor.time is None or case.source.next_range(case.watermark, 1, None) is None:
        return
    if case.source.next_range(case.watermark, 1, before) is None:
        settle = duration(case.monitor.settle.total_seconds())
        yield Problem(
            f"The next record is younger than `settle` ({settle}), so it and all records after it wait.",
            "Wait, lower `settle` in config.toml, or check the time zone of the times.",
        )


def future_times(case: Case) -> Iterator[Problem]:
    """Report times that lie in the future."""
    newest = _newest_time(case)
    if newest is not None and newest > pd.Timestamp(case.at + _CLOCK_TOLERANCE):
        yield Problem(
            f"The newest record is of {utc(newest.to_pydatetime())}, which lies in the future.",
            "Check the time zone of the column: times without one are read as UTC.",
        )


def silent_source(case: Case) -> Iterator[Problem]:
    """Report that no record has come for longer than `gap_after` to a monitor that is scored."""
    if "score" not in case.overview.last_runs:
        return
    newest = _newest_time(case)
    if newest is not None and newest < pd.Timestamp(case.at - case.monitor.gap_after - case.monitor.settle):
        ago = duration((case.at - newest.to_pydatetime()).total_seconds())
        yield Problem(
            f"The newest record of the table is {ago} old: its source stopped sending, or its times are wrong.",
            "Check what fills the table, and that `key` grows with each new record.",
        )


def records_before_the_watermark(case: Case) -> Iterator[Problem]:
    """Report records below the last key scored that no batch has counted."""
    if case.watermark is None or case.overview.pending_batches or case.overview.running_batches:
        return
    unseen = case.source.count(KeyRange(None, case.watermark)) - case.overview.records
    if unseen > 0:
        come = counted_noun(unseen, "record sorts", "records sort")
        yield Problem(
            f"{come} before the last key scored ({key_label(case.watermark)}), and came after it was scored. A later "
            "run finds them up to `late_after`; older ones are never scored.",
            "Choose a key that grows with each new record, such as an identity column or the time first. Score what is "
            f"there with: plumbline rescore {case.name} --from TIME --to TIME",
        )


def late_records(case: Case) -> Iterator[Problem]:
    """Report that many records came late, or too late to be scored."""
    late, too_late = case.overview.late_records, case.overview.too_late_records
    if too_late:
        yield Problem(
            f"{counted_noun(too_late, 'record')} came later than `late_after`, and will not be scored by themselves.",
            f"Raise late_after, and score them with: plumbline rescore {case.name} --from TIME --to TIME",
        )
    if late > _MANY_LATE * case.overview.records:
        yield Problem(
            f"{late:,} of {counted_noun(case.overview.records, 'scored record')} came late, and were flagged only when "
            "their batches were scored again.",
            "Set settle to the time that records need to arrive.",
        )


def mostly_null_features(case: Case) -> Iterator[Problem]:
    """Report features that are null in most of the newest records."""
    count = len(case.newest)
    if count < _MIN_RECORDS:
        return
    for name in case.monitor.features.names:
        share = float(case.newest[name].isna().mean())
        if _MOSTLY_NULL <= share < 1:
            yield Problem(
                f"Column {name!r} is null in {percent(share)} of the newest {count:,} records.",
                "Leave it out of the features, or find out why it is not filled.",
            )


def _newest_time(case: Case) -> pd.Timestamp | None:
    if case.monitor.time is None:
        return None
    times = case.newest[case.monitor.time].dropna()
    return times.max() if len(times) else None


DIAGNOSES: Sequence[Diagnosis] = (
    unscored_records,
    settling_records,
    future_times,
    silent_source,
    records_before_the_watermark,
    late_records,
    mostly_null_features,
)
