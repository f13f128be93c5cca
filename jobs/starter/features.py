"""Proposes the features: the role of each column by type, name and values, or the reason to leave it out."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from jobs.dialects import Family
from jobs.reading.table import WatchedColumn
from jobs.reading.text_forms import disguise_of
from jobs.starter.sample import TIMES, Role, Sample
from schemas.errors import RecordsError
from schemas.texts import is_number

MAX_CATEGORIES = 1_000
_MAX_CODES = 30  # distinct whole numbers of a column that are codes by their name
_MAX_SHARED_IDS = 64
_RECORDS_PER_ID = 20
_MIN_RECORDS = 50  # that show that a column is constant or grows
_MIN_RISING_SHARE = 0.995  # of the steps from record to record
_MAX_DISTURBED_RECORDS = 3

_FEATURES: dict[Family, Role] = {
    "integer": "numeric",
    "float": "numeric",
    "decimal": "numeric",
    "boolean": "boolean",
    "text": "categorical",
    "enum": "categorical",
}
ID_NAME = re.compile(r"(^|_|[a-z])(Id|ID)$|(^|_|\s)(id|key|uuid|guid)$|^(index|idx|row|row_?(num|number|no|id))$")
_CODE_NAME = re.compile(
    r"(^|_|\s)(code|type|kind|category|cat|status|mode|state|class|group|region|zip|plz|country|shop|store|channel|"
    r"port|protocol|branch|sku|level_code|gender|sex|grade|plan|tier|variant|version|line|shift|program|recipe|"
    r"month|weekday|day_of_week|dow)$",
    re.IGNORECASE,
)
_FLAG_NAME = re.compile(r"^(is|has|was|can|did)_|_(flag|yn)$|^flag|(^|_)(enabled|active|open|on)$", re.IGNORECASE)
_CALENDAR_NAME = re.compile(
    r"(^|_)(year|quarter|month|week|day_of_year|doy|epoch|unix|yyyymm(dd)?|jahr)($|_)", re.IGNORECASE
)


@dataclass(frozen=True)
class Columns:
    """The columns by their use.

    Attributes:
        features: by role.
        left_out: columns that are not watched, each with the reason.
    """

    features: dict[Role, list[str]]
    left_out: dict[str, str]


class _LeftOut(Exception):
    """A column that is not proposed as a feature, with the reason."""


@dataclass(frozen=True)
class Context:
    """What is decided about a table before its features.

    Attributes:
        sample: of the table.
        is_normal: (n,) whether each record of the sample is normal.
        time: of a record, or None.
        entity: what a record is about, or None.
        is_series: whether the monitor has a section series, which has no categories.
    """

    sample: Sample
    is_normal: "pd.Series[bool]"
    time: str | None
    entity: str | None
    is_series: bool

    def normal(self, name: str) -> "pd.Series[Any]":
        """Return the values of a column in normal records that are not null."""
        return self.sample.records[name][self.is_normal].dropna()

    def order(self) -> pd.Index:
        """Return the records of the sample by entity, and then by time or as they come."""
        positions = pd.Series(np.arange(len(self.sample.records)))
        keys = pd.DataFrame({"place": positions if self.time is None else self.sample.times(self.time)})
        if self.entity is None:
            return keys.sort_values("place", kind="stable").index
        return keys.assign(entity=self.sample.texts(self.entity)).sort_values(["entity", "place"], kind="stable").index


def propose_features(context: Context, taken: set[str | None], decided: dict[str, str]) -> Columns:
    """Return the features, and each other column with the reason to leave it out.

    Args:
        context: what is decided about the table.
        taken: columns with another role, such as the key.
        decided: columns that must not be features, each with the reason.

    Raises:
        RecordsError: If no column is a feature.
    """
    features: dict[Role, list[str]] = {"numeric": [], "boolean": [], "categorical": []}
    left_out, doubtful = dict(decided), dict[str, Role]()
    for column in context.sample.columns(*taken, *decided):
        try:
            role = _role(context, column)
        except _LeftOut as exc:
            left_out[column.name] = str(exc)
            continue
        if reason := _doubt(context, column.name, role):
            left_out[column.name], doubtful[column.name] = reason, role
        else:
            features[role].append(column.name)
    if not any(features.values()):  # a young table: its columns may move otherwise later
        for name, role in doubtful.items():
            features[role].append(name)
            del left_out[name]
    if not any(features.values()):
        raise RecordsError(_nothing_left(left_out))
    return Columns(features, left_out)


def _nothing_left(left_out: dict[str, str]) -> str:
    reasons = "; ".join(f"{name!r}: {why}" for name, why in left_out.items()) or "it has no column but its key"
    return f"The table holds nothing to learn from: {reasons}. Name another table with --table."


def _role(context: Context, column: WatchedColumn) -> Role:
    sample, name = context.sample, column.name
    if not sample.is_read(name):
        raise _LeftOut(f"of type {column.type.lower() or 'unknown'}")
    values = context.normal(name)
    if values.empty:
        raise _LeftOut(f"null in all of the {len(sample.records):,} records looked at")
    role = _declared_role(column, values)
    if role == "categorical":
        _refuse_text(values)
    elif role == "numeric":
        role = _numeric_role(column, values, is_series=context.is_series)
    if context.is_series and role == "categorical":
        raise _LeftOut("a category, which a series cannot learn")
    if not sample.holds(role, name):
        raise _LeftOut(f"declared {column.type.lower() or 'without a type'}, but holds other values")
    return role


def _declared_role(column: WatchedColumn, values: "pd.Series[Any]") -> Role:
    if column.family in TIMES:
        raise _LeftOut("a time: list it under timestamp to learn its time of day and day of week")
    role = _by_values(values) if column.family == "unknown" else _FEATURES.get(column.family)
    if role is None:
        raise _LeftOut(f"of type {column.type.lower() or 'unknown'}")
    return role


def _by_values(values: "pd.Series[Any]") -> Role | None:
    kinds: dict[str, Role] = {"string": "categorical", "integer": "numeric", "floating": "numeric"}
    return kinds.get(infer_dtype(values, skipna=True), "numeric" if _are_numbers(values) else None)


def _are_numbers(values: "pd.Series[Any]") -> bool:
    return all(map(is_number, values))


def _refuse_text(values: "pd.Series[Any]") -> None:
    texts = values.astype("str")
    disguise = disguise_of(texts)
    if disguise is not None:
        raise _LeftOut(f"{disguise.description}: convert it in a query, or list it under categorical")
    distinct = texts.nunique()
    if distinct > max(len(values) / 2, 20):
        raise _LeftOut(f"an id or a free text: {distinct:,} distinct values in {len(values):,} records")
    if distinct > MAX_CATEGORIES:
        raise _LeftOut(f"a text of more than {MAX_CATEGORIES:,} distinct values")


def _numeric_role(column: WatchedColumn, values: "pd.Series[Any]", *, is_series: bool) -> Role:
    name, distinct = column.name, values.nunique()
    is_whole = column.family == "integer" or infer_dtype(values, skipna=True) == "integer"
    if not is_whole:
        return "numeric"
    if ID_NAME.search(name):
        if distinct <= _MAX_SHARED_IDS and len(values) >= _RECORDS_PER_ID * distinct:
            return "categorical"
        raise _LeftOut("an id by its name: list it as entity, or under categorical, if records share it")
    if _FLAG_NAME.search(name) and values.isin([0, 1]).all():
        return "boolean"
    is_code = _CODE_NAME.search(name) and distinct <= _MAX_CODES and len(values) >= 2 * distinct
    return "categorical" if is_code and not is_series else "numeric"


def _doubt(context: Context, name: str, role: Role) -> str | None:
    """Return the reason to leave a column out that is constant or grows from record to record, or None."""
    if role == "numeric" and _grows(context, name, context.normal(name).nunique()):
        return "a number that grows from record to record, like a counter: newer records would all be unusual"
    return _constant(context, name)


def _grows(context: Context, name: str, distinct: int) -> bool:
    """Return whether a number never falls from record to record, of each entity or of all."""
    if distinct < 2 or (distinct == 2 and not _CALENDAR_NAME.search(name)):
        return False
    numbers = pd.to_numeric(context.sample.records[name], errors="coerce")
    by_key = numbers.dropna().reset_index(drop=True)
    return _rises(by_key) or (context.time is not None and _rises_in_groups(context, numbers))


def _rises_in_groups(context: Context, numbers: "pd.Series[float]") -> bool:
    order = context.order()
    ordered = numbers.loc[order]
    if context.entity is None:
        return _rises(ordered.dropna())
    groups = context.sample.texts(context.entity).loc[order]
    steps = ordered.groupby(groups.to_numpy(), sort=False).diff().dropna()
    return _is_rise(steps)


def _rises(numbers: "pd.Series[float]") -> bool:
    return _is_rise(numbers.diff().dropna())


def _is_rise(steps: "pd.Series[float]") -> bool:
    if len(steps) < _MIN_RECORDS or not (steps > 0).any():
        return False
    falls = int((steps < 0).sum())
    return falls <= min((1 - _MIN_RISING_SHARE) * len(steps), _MAX_DISTURBED_RECORDS + len(steps) // 1_000)


def _constant(context: Context, name: str) -> str | None:
    """Return the reason to leave a column out that has the same value in all records, or None."""
    values = context.normal(name)
    if len(values) < _MIN_RECORDS or values.nunique() > 1 or len(values) < len(context.sample.records) / 2:
        return None
    return f"{values.iloc[0]!s:.40} in all of the {len(values):,} normal records looked at"
