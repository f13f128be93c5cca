"""The distributions of features among single records, with the values of flagged records."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jobs.pictures.values import Distribution, Mark
from jobs.store import StoredAnomaly
from jobs.wording import shown
from schemas.config import MonitorConfig

_MAX_MARKS = 200


def distributions_of(
    records: pd.DataFrame,
    features: Sequence[str],
    rows: Sequence[StoredAnomaly],
    flagged: Mapping[str, StoredAnomaly],
    monitor: MonitorConfig,
) -> tuple[Distribution, ...]:
    """Return the distribution of each feature.

    Args:
        records: indexed by the text of their keys.
        features: to describe.
        rows: the flagged rows to mark.
        flagged: every flagged row among the records, by key.
        monitor: of the records.
    """
    others = records[~records.index.isin(list(flagged))]
    return tuple(_distribution(records, others, name, rows[:_MAX_MARKS], monitor) for name in features)


def _distribution(
    records: pd.DataFrame, others: pd.DataFrame, name: str, rows: Sequence[StoredAnomaly], monitor: MonitorConfig
) -> Distribution:
    is_time, is_number = name in monitor.features.timestamp, name in monitor.features.numeric
    column = records[name].to_dict()
    marks = []
    for row in rows:
        causes = {cause["feature"]: cause for cause in row.attribution}
        cause = causes.get(name, {})
        value = column[row.record_key] if row.record_key in column else cause.get("value")
        marks.append(Mark(_plain(value, is_time), _plain(cause.get("expected"), is_time)))
    return Distribution(
        name=name,
        values=[_plain(value, is_time) for value in others[name]],  # type: ignore[arg-type]
        marks=marks,
        unit="hour of the day, UTC" if is_time else monitor.units.get(name, ""),
        is_number=is_time or is_number,
    )


def _plain(value: Any, is_time: bool) -> float | str | None:  # noqa: FBT001
    """Return a number, a text, or the hour of a time; None if it is missing."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if is_time:
        time: Any = pd.Timestamp(value)
        return None if pd.isna(time) else float(time.hour + time.minute / 60)
    if isinstance(value, bool | np.bool_):
        return shown(bool(value))
    if isinstance(value, int | float | np.integer | np.floating):
        number = float(value)
        return number if np.isfinite(number) else None
    return str(value)
