"""Driver values to typed columns: records as `schemas.frames` documents them, whatever type a driver returned."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_datetime64_any_dtype, is_float_dtype, is_integer_dtype

from detector.core.category_texts import number_text
from jobs.dialects import END_OF_VALID_TIMES, FIRST_VALID_TIME, read_times
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.keys import MAX_ENTITY_LENGTH, MAX_KEY_LENGTH, Key, dump_key, key_label
from schemas.unreadable import UnreadableRecord

FEW_RECORDS = 100  # that may be left out of a page though they are more than half of it
_INT64_RANGE = range(-(2**63), 2**63)
_SHORT_KEY_LENGTH = 64  # surely fits: each character of a text is up to six in the form that the store holds
_MAX_CHARACTERS_SHOWN = 80
_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal", "boolean"}


class _Unfit(Exception):
    """Values that do not fit their column."""

    def __init__(
        self,
        is_unfit: "pd.Series[bool]",
        expected: str,
        advice: str = "list the column under another type in config.toml",
    ) -> None:
        self.positions = np.flatnonzero(is_unfit.to_numpy(dtype=bool))
        self.expected, self.advice = expected, advice


def typed(
    frame: pd.DataFrame, name: str, monitor: MonitorConfig, unreadable: list[UnreadableRecord] | None = None
) -> pd.DataFrame:
    """Return the records of a monitor with documented types.

    Args:
        frame: The columns as a driver or Arrow returned them: the key, and any of the others.
        name: The monitor's, for errors.
        monitor: The configuration, which gives each column its role.
        unreadable: Gets the records that are left out because a value does not fit its column; None if such a record
            is an error. The other records keep their index, if it is not replaced by their exact keys.

    Raises:
        SourceError: If a value does not fit its column and no record is left out, or more than half of many records
            would be, or a key is null, repeated, or too long for the store.
    """
    keys = _keys(frame, name, monitor)
    columns, unfit = _converted(frame, monitor)
    while unfit:
        exact = keys_of(keys, list(keys.columns))
        faults = [_fault(exact[position], *reason) for position, reason in sorted(unfit.items())]
        if unreadable is None or (len(faults) > FEW_RECORDS and 2 * len(faults) > len(frame)):
            raise SourceError(faults[0].sentence(name))
        unreadable += faults
        frame = frame.drop(index=frame.index[sorted(unfit)])
        keys = _keys(frame, name, monitor)
        columns, unfit = _converted(frame, monitor)
    records = pd.DataFrame({**keys, **columns}, copy=False)
    if columns.keys() & set(monitor.key):  # a converted time is no longer the exact key: the index keeps it
        # Levels without names: a level that shares its name with a column makes pandas refuse to sort and to group.
        records.index = pd.MultiIndex.from_frame(keys, names=[None] * keys.shape[1])
    return records


def keys_of(frame: pd.DataFrame, key_columns: Sequence[str]) -> list[Key]:
    """Return the exact keys of the records of a frame, in its order."""
    if isinstance(frame.index, pd.MultiIndex):
        parts = [frame.index.get_level_values(level).to_series() for level in range(len(key_columns))]
    else:
        parts = [frame[name] for name in key_columns]
    return list(zip(*(_exact(part) for part in parts), strict=True))


def time_order(records: pd.DataFrame, monitor: MonitorConfig) -> np.ndarray:
    """Return the positions (n,) that order records by time, those without one first; as they are without a time column.

    The time may be part of the key, and so the name of a column and of a level of the index.
    """
    if monitor.time is None:
        return np.arange(len(records))
    times = records[monitor.time].reset_index(drop=True)
    return times.sort_values(kind="stable", na_position="first").index.to_numpy()


def numeric(series: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return numbers as float64 or as exact integers, which are nullable if a value is missing."""
    if is_bool_dtype(series.dtype):
        return series.astype("float64")
    if is_integer_dtype(series.dtype):
        return series.astype("Int64" if series.hasnans else "int64")
    if is_float_dtype(series.dtype):
        return series.astype("float64")
    return _numeric_objects(series)


def boolean(series: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return nullable booleans; 0 and 1 count as such."""
    if is_bool_dtype(series.dtype):
        return series.astype("boolean")
    numbers = numeric(series)
    is_unfit = numbers.notna() & ~numbers.isin([0, 1])
    if is_unfit.any():
        raise _Unfit(is_unfit, "true or false")
    return numbers.astype("Float64").astype("boolean")


def label(series: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return whether each record is a known anomaly: any number but 0 counts as true."""
    if is_bool_dtype(series.dtype):
        return series.astype("boolean")
    numbers = numeric(series).astype("Float64")
    return (numbers != 0).astype("boolean")


def categorical(series: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return categories as text; a missing one is NA."""
    return _texts(series, _category_text)


def _texts(series: "pd.Series[Any]", text_of: Callable[[Any], str]) -> "pd.Series[Any]":
    if series.dtype == "str" or infer_dtype(series, skipna=True) == "string":
        return _storable(series.astype("str"))
    texts = [None if _is_missing(value) else text_of(value) for value in series.array]
    return _storable(pd.Series(texts, index=series.index, dtype="str"))


def _category_text(value: Any) -> str:
    """Return the text of a category; a number has one text, whatever its type: 1, 1.0 and 1.00 are the same."""
    if isinstance(value, float | np.floating | Decimal):
        return number_text(value.item() if isinstance(value, np.floating) else value)
    return str(value)


def _is_missing(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _storable(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Replace the zero character, which a source may hold but a store in PostgreSQL cannot."""
    has_zero = texts.str.contains("\0", regex=False, na=False)
    return texts.str.replace("\0", "\ufffd", regex=False) if has_zero.any() else texts


def entity(series: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return names of entities as text that fits the store; a missing one is NA."""
    names = _texts(series, str)
    is_long = names.str.len() > MAX_ENTITY_LENGTH
    if is_long.any():
        expected = f"names of entities of at most {MAX_ENTITY_LENGTH} characters"
        raise _Unfit(is_long, expected, "take another column as `entity` in config.toml")
    return names


def timestamp(series: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return times in UTC to the microsecond, missing if they are not valid; times without a zone are UTC."""
    if infer_dtype(series, skipna=True) in _NUMBERS:
        raise _Unfit(series.notna(), "a time")
    try:
        times = read_times(series)
    except (TypeError, ValueError):  # of lists and other values that are no scalars
        raise _Unfit(~series.map(pd.api.types.is_scalar), "a time") from None
    is_unfit = times.isna() & series.notna()
    if is_unfit.any():
        raise _Unfit(is_unfit, "a time")
    times = times.astype("datetime64[us, UTC]")
    return times.where((times >= FIRST_VALID_TIME) & (times < END_OF_VALID_TIMES))


def _keys(frame: pd.DataFrame, name: str, monitor: MonitorConfig) -> pd.DataFrame:
    keys = pd.DataFrame({column: _key(frame[column]) for column in monitor.key})
    _refuse_bad_keys(keys, name)
    return keys


def _converted(
    frame: pd.DataFrame, monitor: MonitorConfig
) -> tuple[dict[str, "pd.Series[Any]"], dict[int, tuple[str, _Unfit, Any]]]:
    """Return the converted columns; and by position each record with a value that does not fit, the column and why."""
    columns: dict[str, pd.Series[Any]] = {}
    unfit: dict[int, tuple[str, _Unfit, Any]] = {}
    for column, convert in _conversions(monitor).items():
        if column in frame:
            try:
                columns[column] = convert(frame[column])
            except _Unfit as reason:
                for position in reason.positions:
                    unfit.setdefault(int(position), (column, reason, frame[column].iloc[position]))
    return columns, unfit


def _fault(key: Key, column: str, reason: _Unfit, value: Any) -> UnreadableRecord:
    return UnreadableRecord(key, column, reason.expected, _shown(value), reason.advice)


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():.6g}" if value.is_finite() else str(value)
    return abridged(repr(value.item() if isinstance(value, np.generic) else value))


def _conversions(monitor: MonitorConfig) -> dict[str, Callable[["pd.Series[Any]"], "pd.Series[Any]"]]:
    features = monitor.features
    roles = (
        ((monitor.time,), timestamp),
        ((monitor.entity,), entity),
        (features.holding("number"), numeric),
        (features.holding("truth"), boolean),
        (features.holding("text"), categorical),
        (features.holding("time"), timestamp),
        ((monitor.label,), label),
    )
    return {column: convert for columns, convert in roles for column in columns if column is not None}


def _numeric_objects(series: "pd.Series[Any]") -> "pd.Series[Any]":
    missing = series.isna()
    kind = infer_dtype(series, skipna=True)
    if kind == "empty" or missing.all():
        return pd.Series(np.nan, index=series.index, dtype="float64")
    if kind not in _NUMBERS:
        is_number = series.map(lambda value: isinstance(value, int | float | Decimal))
        if not (is_number | missing).all():
            raise _Unfit(~(is_number | missing), "a number")
    if kind == "integer" and series[~missing].map(_INT64_RANGE.__contains__).all():
        return series.astype("Int64" if missing.any() else "int64")
    floats = _floats(series)
    is_beyond = floats.isin([np.inf, -np.inf])
    is_beyond[is_beyond] = series[is_beyond].map(_is_finite).astype(bool)
    if is_beyond.any():
        raise _Unfit(is_beyond, "a number of at most 1.8e308", "scale the column in a query")
    return floats


def _floats(series: "pd.Series[Any]") -> "pd.Series[Any]":
    try:
        return series.astype("float64")
    except OverflowError:
        return series.map(_as_float, na_action="ignore").astype("float64")


def _as_float(value: float | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return np.inf


def _is_finite(value: Any) -> bool:
    """Return whether a number is finite, before it becomes a float."""
    return isinstance(value, int) or (isinstance(value, Decimal) and value.is_finite())


def _key(series: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return keys in their exact type; whole numbers that fit become int64."""
    if series.dtype != "object" or series.hasnans:
        return series
    is_int64 = infer_dtype(series, skipna=False) == "integer" and series.map(_INT64_RANGE.__contains__).all()
    return series.astype("int64") if is_int64 else series


def _exact(series: "pd.Series[Any]") -> list[Any]:
    if is_datetime64_any_dtype(series.dtype):
        return list(pd.DatetimeIndex(series).to_pydatetime())
    return series.tolist()


def _refuse_bad_keys(keys: pd.DataFrame, name: str) -> None:
    columns = ", ".join(keys.columns)
    if keys.isna().any(axis=None):
        msg = f"A record of monitor {name!r} has a null or infinite key ({columns}). Choose a key that is never null."
        raise SourceError(msg)
    is_repeated = keys.duplicated()
    if is_repeated.any():
        key_text = key_label(keys_of(keys[is_repeated].head(1), list(keys.columns))[0])
        msg = f"Two records of monitor {name!r} have the key {key_text} ({columns}). Choose a key that is unique."
        raise SourceError(msg)
    texts = keys.select_dtypes(["object", "str"]).map(lambda part: len(str(part)))
    for key in keys_of(keys[texts.sum(axis=1) > _SHORT_KEY_LENGTH], list(keys.columns)):
        refuse_long_key(key, name)


def refuse_long_key(key: Key, name: str) -> None:
    """Raise if the key of a monitor's record is too long for the store.

    Raises:
        SourceError: If it is.
    """
    length = len(dump_key(key))
    if length > MAX_KEY_LENGTH:
        msg = (
            f"A key of monitor {name!r} has {length} characters: {abridged(key_label(key))}. The store holds "
            f"{MAX_KEY_LENGTH}. Choose another key, or shorten the key of this record."
        )
        raise SourceError(msg)


def abridged(text: str) -> str:
    """Return the first characters of a text that is too long for a message."""
    return text if len(text) <= _MAX_CHARACTERS_SHOWN else f"{text[:_MAX_CHARACTERS_SHOWN]} (and so on)"
