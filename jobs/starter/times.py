"""Proposes the time of a record and the time of its last change, by names and values."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jobs.starter.sample import Sample

MAX_NULL_SHARE = 0.1  # a time that is null in more records is not the time of a record
MIN_RANK_CORRELATION = 0.9  # with the order of the key, for a time that only its values recommend
_MIN_DISTINCT = 3

_RECORD_TIME = re.compile(
    r"^(ts|time|timestamp|date_?time|date|day|zeit|zeitstempel|datum|when)(_?utc|_?gmt)?$"
    r"|(creat|record|measur|read|observ|log|event|sampl|insert|receiv|occur|book|order|captur|collect|transaction|"
    r"trans|start|pickup|purchase|issue).*(at|on|time|ts|date|timestamp|stamp|dt|day)$",
    re.IGNORECASE,
)
_TIME_NAME = re.compile(r"_(at|on|ts|dt)$|time|date|stamp|^ts|^t$|At$|zeit|datum", re.IGNORECASE)
_CHANGE_NAME = re.compile(r"updat|modif|chang|last_?edit|mtime", re.IGNORECASE)
_OTHER_NAME = re.compile(
    r"birth|dob|due|expir|valid|until|delet|deliver|ship|clos|resolv|end|finish|complet|paid|last|next", re.IGNORECASE
)
_UTC_NAME = re.compile(r"utc|gmt", re.IGNORECASE)  # no hour of the year comes twice
_PLANNED_NAME = re.compile(r"birth|dob|due|expir|valid|until", re.IGNORECASE)  # unlike the time at which a record came


@dataclass(frozen=True)
class Times:
    """The columns of times.

    Attributes:
        time: of a record; None if no column fits.
        updated: time of a record's last change; None if there is none.
        left_out: other columns of times, each with the reason.
    """

    time: str | None
    updated: str | None
    left_out: dict[str, str]


def propose_times(sample: Sample, named: str | None) -> Times:
    """Return the columns of times.

    Args:
        sample: of the table.
        named: the time that the user names; None to find it.
    """
    candidates = [column.name for column in sample.columns() if sample.holds_times(column.name)]
    time = named or _time(sample, candidates)
    changes = [name for name in candidates if name != time and _CHANGE_NAME.search(name)]
    updated = next((name for name in changes if name not in sample.table.key), None)
    rest = [name for name in candidates if name not in {time, updated, *sample.table.key}]
    return Times(time, updated, {name: _reason(sample, name) for name in rest})


def order_correlation(sample: Sample, name: str) -> float:
    """Return how far times grow with the records of the sample, from -1 to 1; 0 if they are all equal."""
    times = sample.times(name)
    positions = pd.Series(np.arange(len(times)))[times.notna().to_numpy()]
    ranks = times.dropna().reset_index(drop=True).rank()
    if ranks.nunique() < _MIN_DISTINCT:
        return 0.0
    return float(np.corrcoef(ranks, positions)[0, 1])


def _time(sample: Sample, candidates: list[str]) -> str | None:
    full = [name for name in candidates if sample.null_share(name) <= MAX_NULL_SHARE]
    ranks = {name: _rank(sample, name) for name in full}
    best = min(full, key=lambda name: (ranks[name], not _UTC_NAME.search(name)), default=None)
    if best is None or ranks[best] <= 1:
        return best
    if len(full) == 1 and not _PLANNED_NAME.search(best):
        return best
    moving = [name for name in full if order_correlation(sample, name) >= MIN_RANK_CORRELATION]
    return moving[0] if moving else None


def _rank(sample: Sample, name: str) -> int:
    """Return how well a name fits the time of a record; 0 is best."""
    if name in sample.table.key:
        return -1
    if _RECORD_TIME.search(name) and not _CHANGE_NAME.search(name):
        return 0
    if _CHANGE_NAME.search(name) or _OTHER_NAME.search(name):
        return 3
    return 1 if _TIME_NAME.search(name) else 2


def _reason(sample: Sample, name: str) -> str:
    nulls = sample.null_share(name)
    note = f", null in {nulls:.0%} of the records looked at" if nulls > 0 else ""
    return f"a time{note}: list it under timestamp to learn its time of day and day of week"
