"""Writes the result of scoring a batch, in place of the result of an earlier scoring of the batch.

A flagged row is never deleted. If the new scoring does not flag its record, or another model does, the row is marked
as superseded. The label of a record stays with the record.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, insert, select, update

from jobs.dialects import dialect_of
from jobs.store.batch_result import Anomaly, BatchResult, ThresholdChange
from jobs.store.chunks import chunks
from jobs.store.incident_grouping import ChangedTimes
from schemas.tables import anomalies, batch_hours, batch_profiles, scores, trackers

if TYPE_CHECKING:
    import pandas as pd

_ROWS_PER_STATEMENT = 5_000
_NEVER = datetime.min.replace(tzinfo=UTC)
_SCORE_COLUMNS = (
    "record_key",
    "record_key_int",
    "record_time",
    "entity",
    "anomaly_score",
    "p_value",
    "is_anomaly",
    "reconstruction_error",
    "elbo",
)

_EARLIER_COLUMNS = (
    "id",
    "record_key",
    "model_id",
    "entity",
    "record_time",
    "flagged_at",
    "label",
    "labelled_at",
    "superseded_at",
)
_RESEMBLANCE = ("suppressed_by", "suppressed_distance", "raised_by", "raised_distance")
_UNLABELLED: dict[str, Any] = {"label": "open", "labelled_at": None}


@dataclass(frozen=True)
class Origin:
    """The origin of rows: their batch, model and time."""

    monitor: str
    model_id: int
    batch_id: int
    flagged_at: datetime

    @property
    def batch_columns(self) -> dict[str, Any]:
        """Columns that all rows of a batch share."""
        return {"monitor": self.monitor, "batch_id": self.batch_id}

    @property
    def model_columns(self) -> dict[str, Any]:
        """Columns that all rows of a batch and a model share."""
        return {**self.batch_columns, "model_id": self.model_id}


def write_result(connection: Connection, result: BatchResult, origin: Origin) -> ChangedTimes:
    """Write the result of a batch in the open transaction, and return the times of flagged rows that changed.

    Threshold changes are written once for each model, so that rescoring a batch changes no threshold.
    """
    for table in (batch_hours, batch_profiles, scores):
        connection.execute(delete(table).where(table.c.batch_id == origin.batch_id))
    hours = ({"hour": item.hour, "records": item.records, "anomalies": item.anomalies} for item in result.hours)
    _insert(connection, batch_hours, (row | origin.batch_columns for row in hours))
    if result.profile is not None:
        counts = {name: list(bins) for name, bins in result.profile.items()}
        records = sum(next(iter(counts.values())))  # without those that the model was trained on
        _insert(connection, batch_profiles, [{**origin.model_columns, "records": records, "counts": counts}])
    if result.scores is not None:
        _write_scores(connection, result.scores, origin.model_columns)
    if result.threshold_changes:
        _write_threshold_changes(connection, result.threshold_changes, origin)
    return _write_anomalies(connection, result.anomalies, origin)


def _write_threshold_changes(
    connection: Connection, threshold_changes: Mapping[str, ThresholdChange], origin: Origin
) -> None:
    of_batch = {"model_id": origin.model_id, "batch_id": origin.batch_id}
    is_of_batch = and_(*(trackers.c[name] == value for name, value in of_batch.items()))
    written = set(connection.scalars(select(trackers.c.entity).where(is_of_batch)))
    rows = (
        {"entity": entity, "state_before": change.before, "state_after": change.after} | of_batch
        for entity, change in threshold_changes.items()
        if entity not in written
    )
    _insert(connection, trackers, rows)


def _write_anomalies(connection: Connection, flagged: Sequence[Anomaly], origin: Origin) -> ChangedTimes:
    earlier = _earlier_rows(connection, origin.batch_id)
    labels = _labels(earlier)
    of_model = {row["record_key"]: row for row in earlier if row["model_id"] == origin.model_id}
    rows = [_judged(_row(item) | labels.get(item.record_key, _UNLABELLED)) for item in flagged]
    shared = origin.model_columns | {"flagged_at": origin.flagged_at}
    new = [row | shared for row in rows if row["record_key"] not in of_model]
    updated = [(of_model[row["record_key"]], row) for row in rows if row["record_key"] in of_model]
    updated_ids = {before["id"] for before, _ in updated}
    superseded = [row for row in earlier if row["superseded_at"] is None and row["id"] not in updated_ids]

    _update(connection, [{"row_id": row["id"], "superseded_at": origin.flagged_at} for row in superseded])
    _update(connection, [{**row, "row_id": before["id"], "superseded_at": None} for before, row in updated])
    _insert(connection, anomalies, new)
    after = (before | {name: row[name] for name in ("entity", "record_time")} for before, row in updated)
    return _times_by_entity([*new, *superseded, *(before for before, _ in updated), *after])


def _earlier_rows(connection: Connection, batch_id: int) -> list[dict[str, Any]]:
    """Return the rows of earlier scorings of a batch, by any model, including superseded ones."""
    statement = select(*(anomalies.c[name] for name in _EARLIER_COLUMNS)).where(anomalies.c.batch_id == batch_id)
    return [dict(row) for row in connection.execute(statement).mappings()]


def _labels(earlier: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the last label of each record, whichever model flagged it."""
    by_time = sorted(earlier, key=lambda row: row["labelled_at"] or _NEVER)
    return {row["record_key"]: {"label": row["label"], "labelled_at": row["labelled_at"]} for row in by_time}


def _times_by_entity(rows: Iterable[Mapping[str, Any]]) -> ChangedTimes:
    distinct = dict.fromkeys((row["entity"], row["record_time"] or row["flagged_at"]) for row in rows)
    times: dict[str | None, list[datetime]] = defaultdict(list)
    for entity, time in distinct:
        times[entity].append(time)
    return times


def _row(item: Anomaly) -> dict[str, Any]:
    return {
        "record_key": item.record_key,
        "record_key_int": item.record_key_int,
        "record_time": item.record_time,
        "entity": item.entity,
        "anomaly_score": item.anomaly_score,
        "p_value": item.p_value,
        "severity": item.severity,
        "threshold": item.threshold,
        "reconstruction_error": item.reconstruction_error,
        "elbo": item.elbo,
        "top_feature": item.explanation.top_feature,
        "attribution": [json_ready(cause.to_json()) for cause in item.explanation.causes],
        "is_muted": item.is_muted,
        "held_back": item.held_back,
        "suppressed_by": item.suppressed_by,
        "suppressed_distance": item.suppressed_distance,
        "raised_by": item.raised_by,
        "raised_distance": item.raised_distance,
        "entity_position": item.entity_position,
        "began_at": item.began_at,
    }


def _judged(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row that has a label of its own without the rows that it resembles."""
    return row if row["label"] == "open" else row | dict.fromkeys(_RESEMBLANCE)


def json_ready(value: Any) -> Any:
    """Return a value as strict JSON can hold it: a number that is not finite as null, other types as their text.

    >>> json_ready({"value": float("nan"), "expected": [1.5, True]})
    {'value': None, 'expected': [1.5, True]}
    """
    if hasattr(value, "item") and not isinstance(value, str):  # a NumPy scalar
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    text = value.isoformat() if isinstance(value, datetime | date) else str(value)
    return None if text in {"NaT", "<NA>"} else text


def _write_scores(connection: Connection, frame: "pd.DataFrame", shared: dict[str, Any]) -> None:
    rows = ((*values, *shared.values()) for values in _score_values(frame))
    dialect_of(connection).insert_rows(connection, scores, (*_SCORE_COLUMNS, *shared), rows)


def _score_values(frame: "pd.DataFrame") -> Iterator[tuple[Any, ...]]:
    """Return the rows as plain Python values, missing ones as None."""
    columns = [frame[name].astype("object") for name in _SCORE_COLUMNS]
    return zip(*(column.where(column.notna(), None).tolist() for column in columns), strict=True)


def _update(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Update the flagged rows with the ids `row_id`; all dictionaries must have the same columns."""
    for chunk in chunks(rows, _ROWS_PER_STATEMENT):
        columns: dict[str, Any] = {name: bindparam(name) for name in chunk[0] if name != "row_id"}
        connection.execute(update(anomalies).where(anomalies.c.id == bindparam("row_id")).values(columns), chunk)


def _insert(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    for chunk in chunks(rows, _ROWS_PER_STATEMENT):
        connection.execute(insert(table), chunk)
