"""Scores the records of a request, which are JSON objects."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import HTTPException
from pydantic import BaseModel, Field

from detector.core.category_texts import number_text
from jobs.api.parameters import Body, parse_time
from jobs.api.problems import RecordFault, UnfitRecords
from jobs.api.service_view import ServiceView
from jobs.scoring.learned_features import learned_features
from jobs.store.writing import json_ready
from schemas.frames import ANOMALY_SCORE, SCORE_COLUMNS, Explanation, Features, Form

if TYPE_CHECKING:
    import pandas as pd

    from detector.core.scorer import BoundScorer

_INT64 = range(-(2**63), 2**63)
_DTYPES: dict[Form, str] = {"truth": "boolean", "text": "str", "time": "datetime64[us, UTC]"}  # but of numbers
_MAX_CHARACTERS_SHOWN = 80  # of a value that does not fit
_WAIT_SECONDS = 30
_NEEDS_PAST = (
    "Monitor {!r} learns series: a record is scored with its past. "
    "Write records to the watched table, where they are scored with it."
)
_one_at_a_time = threading.Lock()  # a request uses every core; two at once would each take twice as long


class RecordsToScore(Body):
    """Records as objects. Each needs all features; other columns are ignored."""

    records: list[dict[str, Any]] = Field(min_length=1)
    top_features: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Causes of each record; if absent, `top_features` of the monitor."""


class RecordCause(BaseModel):
    """The part of a score that is due to one feature."""

    feature: str
    share: float | None = Field(description="In units of the score.")
    deviation: float | None = Field(description="In typical deviations of the feature among normal records.")
    value: Any
    expected: Any


class RecordScore(BaseModel):
    """The champion's score of a record."""

    anomaly_score: float | None = Field(description="Higher is more anomalous.")
    p_value: float
    severity: float = Field(description="From 0 to 100.")
    threshold: float | None = Field(description="A record is an anomaly above it; null if none can be.")
    is_anomaly: bool
    reconstruction_error: float | None = Field(description="Of the VAE. Higher is more anomalous.")
    elbo: float | None = Field(description="The negative ELBO of the VAE in nats. Higher is more anomalous.")
    attribution: list[RecordCause] = Field(description="Largest share first.")


class ScoredRecords(BaseModel):
    """Scores of records, in the order of the request."""

    monitor: str
    model_id: int
    scores: list[RecordScore]


class _Unfit(ValueError):
    """A value that is not of its column's type."""


def score_records(name: str, sent: RecordsToScore, service: ServiceView) -> ScoredRecords:
    """Score records with a monitor's champion.

    Raises:
        UnfitRecords: If a record lacks a feature, or a value is not of its column's type.
        NoChampion: If no model has been trained.
    """
    monitor, limit = service.settings(name), service.config.service.max_records
    if len(sent.records) > limit:
        raise HTTPException(413, f"The request holds {len(sent.records)} records, expected at most {limit}. Split it.")
    model_id, scorer = service.scorer_for(name)
    if scorer.context_rows:
        raise HTTPException(409, _NEEDS_PAST.format(name))
    records = to_frame(name, learned_features(service.store, model_id, monitor), sent.records)
    top = monitor.top_features if sent.top_features is None else sent.top_features
    scores = scores_of(scorer.bind(records, _read_no_past), records, top)
    return ScoredRecords(monitor=name, model_id=model_id, scores=scores)


def scores_of(bound: "BoundScorer", records: "pd.DataFrame", top: int) -> list[RecordScore]:
    """Return the scores of records with their `top` causes; requests take turns.

    Raises:
        HTTPException: If other requests are being scored for half a minute.
    """
    with _turn():
        scored = bound.score(records, "all")
        causes = bound.explain(records, scored[ANOMALY_SCORE].to_numpy(), top) if top else []
    return list(_rows(scored, causes))


def scored_in_turn(bound: "BoundScorer", records: "pd.DataFrame") -> "pd.DataFrame":
    """Return the columns of `SCORE_COLUMNS` of records; requests take turns.

    Raises:
        HTTPException: If other requests are being scored for half a minute.
    """
    with _turn():
        return bound.score(records)


def _read_no_past(_page: "pd.DataFrame", _features: Features, _moments: int) -> list[Any]:
    return []


@contextmanager
def _turn() -> Iterator[None]:
    if not _one_at_a_time.acquire(timeout=_WAIT_SECONDS):
        raise HTTPException(503, "Other requests are being scored. Try again.", {"Retry-After": str(_WAIT_SECONDS)})
    try:
        yield
    finally:
        _one_at_a_time.release()


def to_frame(name: str, features: Features, records: list[dict[str, Any]]) -> "pd.DataFrame":
    """Return records with the columns and types of `schemas.frames`.

    Raises:
        UnfitRecords: If a value does not fit; names every such value.
    """
    import pandas as pd

    faults: list[RecordFault] = []
    columns: dict[str, Any] = {}
    for feature, read in _readers(features):
        values = []
        for position, record in enumerate(records):
            try:
                values.append(read(_value(record, feature)))
            except _Unfit as unfit:
                faults.append(RecordFault(position, feature, str(unfit)))
        columns[feature] = values
    if faults:
        raise UnfitRecords(name, sorted(faults, key=lambda fault: fault.record))
    series = {feature: pd.Series(columns[feature], dtype=dtype) for feature, dtype in _dtypes(features, columns)}
    return pd.DataFrame(series)


def _readers(features: Features) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    by_type = (
        (features.holding("number"), _number),
        (features.holding("truth"), _truth),
        (features.holding("text"), _category),
        (features.holding("time"), _time),
    )
    return ((name, read) for names, read in by_type for name in names)


def _dtypes(features: Features, columns: Mapping[str, list[Any]]) -> Iterator[tuple[str, str]]:
    """Yield the type of each column as the source has it; numbers are exact integers if all of them are integers."""
    for name in features.holding("number"):
        numbers = [value for value in columns[name] if value is not None]
        yield name, "Int64" if numbers and all(isinstance(value, int) for value in numbers) else "float64"
    yield from ((name, _DTYPES[form]) for form in _DTYPES for name in features.holding(form))


def _value(record: Mapping[str, Any], feature: str) -> Any:
    if feature not in record:
        msg = "It is missing; write null if there is no value."
        raise _Unfit(msg)
    return record[feature]


def _number(value: Any) -> int | float | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value in _INT64):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = _as_float(value)
        if math.isfinite(number):
            return number
    raise _unfit("a finite number or null", value)


def _truth(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise _unfit("true, false or null", value)


def _category(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and _is_utf8(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return number_text(value)
    raise _unfit("a text, a whole number or null", value)


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        time = parse_time(value)
    except ValueError:
        time = None
    if isinstance(time, datetime):
        return time
    raise _unfit("a time such as 2026-03-01T12:30:00Z or null", value)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _unfit(expected: str, value: Any) -> _Unfit:
    shown = repr(value)
    shown = shown if len(shown) <= _MAX_CHARACTERS_SHOWN else shown[:_MAX_CHARACTERS_SHOWN] + "..."
    return _Unfit(f"Expected {expected}, received {shown}.")


def _rows(scored: "pd.DataFrame", causes: list[Explanation]) -> Iterator[RecordScore]:
    for position, row in enumerate(scored.to_dict("records")):
        of_record = causes[position].causes if causes else ()
        numbers = {name: json_ready(row[name]) for name in SCORE_COLUMNS}
        yield RecordScore(**numbers, attribution=[RecordCause(**json_ready(cause.to_json())) for cause in of_record])
