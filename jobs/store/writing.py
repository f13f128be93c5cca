"""Writes what scoring a batch found, in place of what an earlier scoring of the batch had found.

A flagged row is never deleted. One that the new scoring does not find again, or finds by another model, is
marked as superseded; what a person said about a record goes with the record.
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
from jobs.store.incident_grouping import Touched
from schemas.tables import anomalies, batch_hours, batch_profiles, scores, trackers

if TYPE_CHECKING:
    import pandas as pd

_ROWS_AT_ONCE = 5_000
_NEVER = datetime.min.replace(tzinfo=UTC)
_SCORE_COLUMNS = (
    "record_key",
    "record_key_int",
    "record_time",
    "entity",
    "anomaly_score",
    "p_value",
    "is_anomaly",
)

_EARLIER = (
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
_UNLABELLED: dict[str, Any] = {"label": "open", "labelled_at": None}


@dataclass(frozen=True)
class Origin:
    """What a flagged row says about where it comes from."""

    monitor: str
    model_id: int
    batch_id: int
    flagged_at: datetime

    @property
    def of_batch(self) -> dict[str, Any]:
        """The columns that everything found in a batch shares."""
        return {"monitor": self.monitor, "batch_id": self.batch_id}

    @property
    def of_model(self) -> dict[str, Any]:
        """The columns that everything which a model says of a batch shares."""
        return {**self.of_batch, "model_id": self.model_id}


def write_result(connection: Connection, result: BatchResult, origin: Origin) -> Touched:
    """Write anomalies, hours, scores and profile of a batch into the open transaction, in place of earlier ones.

    How thresholds moved is written once for each model: scoring a batch again moves none.
    """
    for table in (batch_hours, batch_profiles, scores):
        connection.execute(delete(table).where(table.c.batch_id == origin.batch_id))
    hours = ({"hour": item.hour, "records": item.records, "anomalies": item.anomalies} for item in result.hours)
    _insert(connection, batch_hours, (row | origin.of_batch for row in hours))
    if result.profile is not None:
        counts = {name: list(bins) for name, bins in result.profile.items()}
        _insert(connection, batch_profiles, [{**origin.of_model, "records": result.records, "counts": counts}])
    if result.scores is not None:
        _write_scores(connection, result.scores, origin.of_model)
    if result.threshold_changes:
        _write_threshold_changes(connection, result.threshold_changes, origin)
    return _write_anomalies(connection, result.anomalies, origin)


def _write_threshold_changes(
    connection: Connection, threshold_changes: Mapping[str, ThresholdChange], origin: Origin
) -> None:
    of_model = {"model_id": origin.model_id, "batch_id": origin.batch_id}
    is_here = and_(*(trackers.c[name] == value for name, value in of_model.items()))
    known = set(connection.scalars(select(trackers.c.entity).where(is_here)))
    new = ((entity, move) for entity, move in threshold_changes.items() if entity not in known)
    rows = ({"entity": entity, "state_before": move.before, "state_after": move.after} for entity, move in new)
    _insert(connection, trackers, (row | of_model for row in rows))


def _write_anomalies(connection: Connection, found: Sequence[Anomaly], origin: Origin) -> Touched:
    earlier = _earlier(connection, origin.batch_id)
    labels = _labels(earlier)
    of_model = {row["record_key"]: row for row in earlier if row["model_id"] == origin.model_id}
    rows = [_row(item) | labels.get(item.record_key, _UNLABELLED) for item in found]
    new = [
        row | origin.of_model | {"flagged_at": origin.flagged_at} for row in rows if row["record_key"] not in of_model
    ]
    again = [(of_model[row["record_key"]], row) for row in rows if row["record_key"] in of_model]
    kept = {before["id"] for before, _ in again}
    gone = [row for row in earlier if row["superseded_at"] is None and row["id"] not in kept]

    _change(connection, [{"row_id": row["id"], "superseded_at": origin.flagged_at} for row in gone])
    _change(connection, [{**row, "row_id": before["id"], "superseded_at": None} for before, row in again])
    _insert(connection, anomalies, new)
    moved = (before | {name: row[name] for name in ("entity", "record_time")} for before, row in again)
    return _by_entity([*new, *gone, *(before for before, _ in again), *moved])


def _earlier(connection: Connection, batch_id: int) -> list[dict[str, Any]]:
    """What was flagged when the batch was scored before, by whichever model, superseded or not."""
    wanted = select(*(anomalies.c[name] for name in _EARLIER)).where(anomalies.c.batch_id == batch_id)
    return [dict(row) for row in connection.execute(wanted).mappings()]


def _labels(earlier: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was last said about each record, whichever model had flagged it."""
    by_time = sorted(earlier, key=lambda row: row["labelled_at"] or _NEVER)
    return {row["record_key"]: {"label": row["label"], "labelled_at": row["labelled_at"]} for row in by_time}


def _by_entity(rows: Iterable[Mapping[str, Any]]) -> Touched:
    places = dict.fromkeys((row["entity"], row["record_time"] or row["flagged_at"]) for row in rows)
    times: dict[str | None, list[datetime]] = defaultdict(list)
    for entity, time in places:
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
        "top_feature": item.explanation.top_feature,
        "attribution": [json_ready(cause.to_json()) for cause in item.explanation.causes],
        "is_muted": item.is_muted,
    }


def json_ready(value: Any) -> Any:
    """A value as strict JSON can hold it: what is not finite becomes null, what has no JSON form its text.

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


def _write_scores(connection: Connection, frame: "pd.DataFrame", of_model: dict[str, Any]) -> None:
    shared = tuple(of_model.values())
    rows = ((*values, *shared) for values in _score_values(frame))
    dialect_of(connection).insert_rows(connection, scores, (*_SCORE_COLUMNS, *of_model), rows)


def _score_values(frame: "pd.DataFrame") -> Iterator[tuple[Any, ...]]:
    """Rows of plain Python values, missing ones None."""
    columns = [frame[name].astype("object") for name in _SCORE_COLUMNS]
    return zip(*(column.where(column.notna(), None).tolist() for column in columns), strict=True)


def _change(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Change flagged rows, named by `row_id`; all dictionaries have the same columns."""
    for chunk in _chunks(rows):
        columns: dict[str, Any] = {name: bindparam(name) for name in chunk[0] if name != "row_id"}
        connection.execute(update(anomalies).where(anomalies.c.id == bindparam("row_id")).values(columns), chunk)


def _insert(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    for chunk in _chunks(rows):
        connection.execute(insert(table), chunk)


def _chunks(rows: Iterable[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _ROWS_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
