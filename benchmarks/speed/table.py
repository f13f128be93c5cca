"""The table of the speed benchmark: correlated sensors, and one anomaly in a thousand records."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

TABLE, KEY, TIME, ENTITY = "records", "id", "read_at", "machine"
ANOMALY_RATE = 0.001
MACHINES = 64
BATCH_ROWS = 50_000  # written at once
_STATES = 6  # latent states that drive all sensors
_START = datetime(2026, 1, 1, tzinfo=UTC)


def sensors(columns: int) -> list[str]:
    """Return the names of the numeric columns."""
    return [f"sensor_{number:02d}" for number in range(columns)]


def write_records(path: Path, rows: int, columns: int, normal: int, machines: int = MACHINES) -> None:
    """Write the records to a Parquet file; the first `normal` records have no anomaly."""
    import pyarrow.parquet as pq  # late: a process that scores few records is measured, too

    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(_STATES, columns))
    batches = _batches(rows, mixing, normal, machines, rng)
    first = next(batches)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)


def _batches(
    rows: int, mixing: np.ndarray, normal: int, machines: int, rng: np.random.Generator
) -> "Iterator[pa.RecordBatch]":
    for start in range(0, rows, BATCH_ROWS):
        keys = np.arange(start + 1, min(start + BATCH_ROWS, rows) + 1)
        yield _batch(keys, mixing, (keys > normal) & (rng.random(len(keys)) < ANOMALY_RATE), machines, rng)


def _batch(
    keys: np.ndarray, mixing: np.ndarray, is_anomaly: np.ndarray, machines: int, rng: np.random.Generator
) -> "pa.RecordBatch":
    import pyarrow as pa

    values = rng.normal(size=(len(keys), len(mixing))) @ mixing + 0.3 * rng.normal(size=(len(keys), mixing.shape[1]))
    one_sensor = rng.integers(0, mixing.shape[1], len(keys))
    values[is_anomaly, one_sensor[is_anomaly]] += 12.0
    times = np.datetime64(_START.replace(tzinfo=None), "us") + keys * np.timedelta64(1, "s")
    identity = {
        KEY: pa.array(keys),
        TIME: pa.array(times).cast(pa.timestamp("us", "UTC")),
        ENTITY: pa.array([f"machine-{number}" for number in keys % machines]),
    }
    return pa.record_batch(identity | dict(zip(sensors(len(mixing[0])), map(pa.array, values.T), strict=True)))
