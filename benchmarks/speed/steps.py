"""Steps of the speed benchmark, each run in a process of its own: ``python -m benchmarks.speed.steps STEP CONFIG``.

A step prints one line of JSON with a `Timing` for each name.
"""

import json
import os
import resource
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.speed.report import Timing
from benchmarks.speed.setting import QUARTER, WHOLE
from benchmarks.speed.table import ENTITY, KEY, MACHINES, TABLE, TIME
from benchmarks.timing import resident_bytes, timed
from jobs.app import App
from schemas.errors import NoChampion, SourceError
from schemas.keys import KeyRange

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from detector.records.scorer import RecordScorer
    from jobs.reading.source import Source

REPEATS = 3
READ_ROWS = 200_000  # read to measure the speed of reading alone
PEER_ROWS = 100_000
WRITTEN_ROWS = 50_000
FIT_ROWS = 200_000
THRESHOLD_ROWS = 2_000  # normal records that set a peer's threshold
FIRST_BATCH_ROWS = 256

Timings = dict[str, Timing]


def read(app: App) -> Timings:
    """Measure reading alone, and its limit: the same columns as the database sends them, dropped on arrival."""
    source = app.source(WHOLE)
    first = _first(source, READ_ROWS)
    rows = source.count(first)
    sql = f"SELECT {_columns(source)} FROM {TABLE} WHERE {KEY} <= {first.upto[0]}"

    def read_pages() -> None:
        for _ in source.pages(first.after, first.upto):
            pass

    ours, limit = _alternating(rows, read_pages, lambda: _discard(app.engine, sql))
    return {"read": ours, "read limit": limit}


def score(app: App) -> Timings:
    """Measure scoring alone, and its limit: the matrix products of the score's definition in NumPy, once each."""
    source = app.source(WHOLE)
    scorer = _scorer(app)
    records = next(source.pages(None))
    scorer.score(records.head(FIRST_BATCH_ROWS))  # compiles
    ours, limit = _alternating(len(records), lambda: scorer.score(records), _products(scorer, len(records)))
    return {"score": ours, "score limit": limit}


def whole(app: App) -> Timings:
    """Measure from the whole table to flagged rows."""
    return {WHOLE: _scored(app, WHOLE)}


def quarter(app: App) -> Timings:
    """Measure from the first quarter of the table to flagged rows."""
    return {QUARTER: _scored(app, QUARTER)}


def write(app: App) -> Timings:
    """Measure writing the scores of records alone, and its peer: the same rows by executemany; nothing is kept."""
    from sqlalchemy import Column, MetaData, Table, insert

    from jobs.databases import writing
    from jobs.dialects import dialect_of
    from schemas.tables import scores

    rows = [_score_row(number) for number in range(WRITTEN_ROWS)]
    names, values = tuple(rows[0]), [tuple(row.values()) for row in rows]
    table = Table("written_scores", MetaData(), *(Column(name, scores.c[name].type) for name in names))

    def undone(insert_rows: Callable[["Connection"], object]) -> None:
        with writing(app.engine) as connection:
            table.create(connection)
            insert_rows(connection)
            connection.rollback()

    ours, peer = _alternating(
        len(rows),
        lambda: undone(lambda connection: dialect_of(connection).insert_rows(connection, table, names, values)),
        lambda: undone(lambda connection: connection.execute(insert(table), rows)),
    )
    return {"write": ours, "write by executemany": peer}


def fit(app: App) -> Timings:
    """Measure fitting, encoding and calibration included, and its peer if PyOD is installed: its VAE."""
    from benchmarks.peers import PYOD_PEERS, fit_one_hot, has_pyod
    from detector.records.fitting import DecisionRule, fit_artifact
    from detector.records.normal_records import NormalRecords
    from schemas.config import ModelConfig

    app.choose_backend()
    source = app.source(WHOLE)
    monitor = source.monitor
    normal = source.read(_first(source, FIT_ROWS))[list(monitor.numeric)]
    held_back = len(normal) // 5
    parts = NormalRecords(normal[held_back:], normal[:held_back])
    rule = DecisionRule(rate=monitor.false_positive_rate)
    _, seconds = timed(lambda: fit_artifact(parts, monitor.features, ModelConfig(), rule=rule))
    timings = {"fit": Timing(len(normal), (seconds,), peak_bytes())}
    if has_pyod():
        matrix = fit_one_hot(normal, ()).transform(normal)
        _, seconds = timed(lambda: PYOD_PEERS["pyod_vae"](matrix, 0))
        timings["fit by PyOD"] = Timing(len(normal), (seconds,), peak_bytes())
    return timings


def first_batch(app: App) -> Timings:
    """Score one small batch; the caller measures the whole process."""
    source = app.source(WHOLE)
    records = source.read(_first(source, FIRST_BATCH_ROWS))
    _, seconds = timed(lambda: _scorer(app).score(records))
    return {"few records": Timing(len(records), (seconds,), peak_bytes())}


def isolation_forest(app: App) -> Timings:
    """Measure a typical script with an isolation forest."""
    return {"isolation_forest": _by_peer(app, "isolation_forest")}


def lof(app: App) -> Timings:
    """Measure a typical script with the local outlier factor."""
    return {"lof": _by_peer(app, "lof")}


STEPS: dict[str, Callable[[App], Timings]] = {
    step.__name__: step for step in (read, score, write, fit, whole, quarter, first_batch, isolation_forest, lof)
}


def main(arguments: Sequence[str]) -> None:
    """Run one step and print its timings."""
    step, config = arguments
    with App.opened(Path(config)) as app:
        timings = STEPS[step](app)
    sys.stdout.write(json.dumps({name: asdict(timing) for name, timing in timings.items()}) + "\n")


def peak_bytes() -> int:
    """Return the peak memory of this process."""
    if Path("/proc/self/status").exists():  # getrusage starts at the peak of the parent process
        return resident_bytes(os.getpid(), "VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _alternating(rows: int, ours: Callable[[], object], limit: Callable[[], object]) -> tuple[Timing, Timing]:
    """Measure both in turns, so that other work on the machine affects both alike."""
    seconds = [(timed(ours)[1], timed(limit)[1]) for _ in range(REPEATS)]
    first, second = zip(*seconds, strict=True)
    return Timing(rows, first, peak_bytes()), Timing(rows, second, peak_bytes())


def _scored(app: App, monitor: str) -> Timing:
    from jobs.scoring.run import score_monitor

    source, store = app.source(monitor), app.store
    report, seconds = timed(lambda: score_monitor(source, store, app.clock))
    return Timing(report.records, (seconds,), peak_bytes())


def _score_row(number: int) -> dict[str, Any]:
    return {
        "monitor": WHOLE,
        "batch_id": 0,
        "model_id": 0,
        "record_key": str(number),
        "record_key_int": number,
        "record_time": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        "entity": f"machine-{number % MACHINES}",
        "anomaly_score": 1.0 + number,
        "p_value": 0.5,
        "is_anomaly": False,
    }


def _scorer(app: App) -> "RecordScorer":
    from jobs.champions import load_scorer

    champion = app.store.models.champion(WHOLE)
    if champion is None:
        raise NoChampion(WHOLE)
    return load_scorer(app.store, champion, app.config.monitor(WHOLE))


def _first(source: "Source", rows: int) -> KeyRange:
    key_range = source.next_range(None, rows, None)
    if key_range is None:
        raise SourceError(f"The table {TABLE} is empty. Run: python -m benchmarks.speed")
    return key_range


def _columns(source: "Source") -> str:
    return ", ".join((KEY, TIME, ENTITY, *source.monitor.numeric))


def _discard(engine: "Engine", sql: str) -> None:
    """Receive all rows without keeping them: by binary COPY, or from SQLite's own driver."""
    connection = engine.raw_connection()
    try:
        cursor: Any = connection.cursor()
        if engine.dialect.name == "postgresql":
            with cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT binary)") as copy:
                deque(copy, maxlen=0)
        else:
            deque(cursor.execute(sql), maxlen=0)
    finally:
        connection.close()


def _products(scorer: "RecordScorer", rows: int) -> Callable[[], None]:
    """Return the matrix products of the networks and of the distances to the reference, at the shapes of scoring."""
    import numpy as np

    from detector.records.numpy_network import CHUNK_RECORDS

    artifact = scorer.artifact
    kernels = [weight for name, weight in artifact.weights.items() if name.endswith("kernel")]  # (K, a, b)
    points = artifact.reference.points.T  # (D, m)
    inputs = [np.ones((kernel.shape[0], CHUNK_RECORDS, kernel.shape[1]), dtype=np.float32) for kernel in kernels]
    queries = np.ones((CHUNK_RECORDS, len(points)), dtype=np.float32)

    def multiply() -> None:
        for _ in range(0, rows, CHUNK_RECORDS):
            for x, kernel in zip(inputs, kernels, strict=True):
                np.matmul(x, kernel)
            np.matmul(queries, points)

    return multiply


def _by_peer(app: App, name: str) -> Timing:
    """Read a frame, score it and write the flagged rows; the peer is fitted beforehand, like our model."""
    import numpy as np
    import pandas as pd

    from benchmarks.peers import CHEAP_PEERS, fit_one_hot

    source = app.source(WHOLE)
    features = list(source.monitor.numeric)
    rows = source.count(_first(source, PEER_ROWS))
    normal = source.read_normal(source.monitor.max_training_records)[features]
    scale = fit_one_hot(normal, ())
    score = CHEAP_PEERS[name](scale.transform(normal), 0)
    normal_scores = score(scale.transform(normal.head(THRESHOLD_ROWS)))
    threshold = np.quantile(normal_scores, 1 - source.monitor.false_positive_rate)

    def run() -> None:
        records = pd.read_sql(f"SELECT {_columns(source)} FROM {TABLE} WHERE {KEY} <= {rows}", app.engine)
        flagged = records[score(scale.transform(records[features])) > threshold]
        flagged.to_sql("flagged_by_peer", app.engine, if_exists="replace")

    _, seconds = timed(run)
    return Timing(rows, (seconds,), peak_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
