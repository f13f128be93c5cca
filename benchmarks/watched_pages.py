"""Benchmark of the pages that read a watched table: ``python -m benchmarks.watched_pages ADDRESS [--filled]``.

The store is that of `benchmarks.page_times`, with two monitors more, on tables in the same database: single records of
200 entities, and series of five. Both are trained and scored by the command line first, and served as by `plumbline
serve`. A first picture or preview scores; its page is answered before, with the progress, and polls for the result.

Progress goes to stderr, the table to stdout.
"""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from benchmarks.page_times import COLUMNS, PageTimes, requested
from benchmarks.processes import ENVIRONMENT, print_progress
from benchmarks.report import markdown_table
from benchmarks.store_queries import grown_store
from jobs.api import ApiServer
from jobs.app import App
from jobs.serving.api_view import ApiView
from jobs.serving.service_state import ServiceState
from jobs.store import AnomalyQuery, IncidentQuery, Store

RECORDS, SERIES = "bench_records", "bench_series"
START = pd.Timestamp("2026-02-01", tz="UTC")
FEATURES = [f"x{number}" for number in range(8)]
SPIKE_EVERY = 97  # records of an entity
INCIDENTS = 21
SIZES = {RECORDS: (200, 500), SERIES: (5, 1_500)}  # entities, and records of an entity
CONFIG = """\
[store]
url = "{url}"
[service]
port = 0
[monitors.bench_records]
table = "bench_records"
key = "id"
time = "at"
entity = "entity"
numeric = {features}
normal = "id <= {half_records}"
score_every = "never"
[monitors.bench_series]
table = "bench_series"
key = "id"
time = "at"
entity = "entity"
numeric = {features}
normal = "id <= {half_series}"
score_every = "never"
[monitors.bench_series.series]
"""


def readings(entities: int, steps: int) -> pd.DataFrame:
    """Return correlated readings of entities every five minutes, of whose later half single ones stand out."""
    generator, n = np.random.default_rng(7), entities * steps
    level = np.sin(np.arange(steps) / 40)[:, None] + 0.2 * generator.standard_normal((steps, entities))
    columns = {name: (level * (1 + place / 4)).ravel() for place, name in enumerate(FEATURES)}
    frame = pd.DataFrame(columns) + 0.1 * generator.standard_normal((n, len(FEATURES)))
    step = np.repeat(np.arange(steps), entities)
    entity = np.tile(np.arange(entities), steps)
    frame.loc[(step > steps // 2) & ((step + 11 * entity) % SPIKE_EVERY == 0), "x1"] += 9.0
    at = START + pd.to_timedelta(5 * step, unit="min")
    return frame.assign(id=np.arange(1, n + 1), at=at, entity=[f"e{number}" for number in entity])


@contextmanager
def served(store: Store, folder: Path) -> Iterator[tuple[int, Store]]:
    """Train and score both monitors, unless the store has their models, and yield the port of their pages."""
    url = store.engine.url.render_as_string(hide_password=False)
    config = folder / "config.toml"
    halves = {f"half_{name.removeprefix('bench_')}": math.prod(size) // 2 for name, size in SIZES.items()}
    config.write_text(CONFIG.format(url=url, features=FEATURES, **halves), encoding="utf-8")
    for name, size in SIZES.items():
        if store.models.champion(name) is not None:
            continue
        readings(*size).to_parquet(folder / f"{name}.parquet")
        for command in (f"import {name}.parquet --table {name}", f"train {name}", f"score {name}"):
            print_progress(command)
            line = [sys.executable, "-m", "plumbline", *command.split(), "--config", str(config)]
            subprocess.run(line, check=True, cwd=folder, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.DEVNULL)  # noqa: S603 - our own program
    with App.opened(config) as app:
        server = ApiServer(ApiView(ServiceState(app)), "127.0.0.1", 0)
        server.start()
        try:
            yield server.port, app.store
        finally:
            server.stop()


def times_of(port: int, store: Store) -> list[PageTimes]:
    """Return the times of the pages of both monitors."""
    (row,) = store.anomalies.page(AnomalyQuery(RECORDS, limit=1))
    incidents = [item.id for item in store.incidents.page(IncidentQuery(SERIES, limit=INCIDENTS))]
    champion = store.models.require_champion(RECORDS).model_id
    edited = f"/page/records/{row.id}/row?{quote('cell:x1')}=3.5"
    channels = [f"/page/incidents/{number}/channels.json" for number in incidents]
    pages = [
        ("monitor of 200 entities", [f"/page/monitors/{RECORDS}?days=90"]),
        ("record", [f"/page/records/{row.id}"]),
        ("incident of a series", [f"/page/incidents/{incidents[0]}"]),
        ("its channels, first (after the page)", channels),
        ("its channels, kept", channels[:1]),
        ("its picture without JavaScript, first", [f"/page/incidents/{number}/light.svg" for number in incidents]),
        ("row of a record with normal ones", [f"/page/records/{row.id}/row"]),
        ("the row with another value", [edited]),
        ("map of a model, kept", [f"/page/models/{champion}/map"]),
        ("settings", [f"/page/monitors/{RECORDS}/tune"]),
    ]
    return [requested(port, name, paths) for name, paths in pages] + previews(port)


def previews(port: int) -> list[PageTimes]:
    """Return the times of the page of settings while a preview is computed, and in how many seconds that is done."""
    rows = []
    for name in (RECORDS, SERIES):
        start = time.perf_counter()
        asked: list[PageTimes] = []
        while True:
            asked.append(requested(port, name, [f"/page/monitors/{name}/tune?rate_log=-2.3"], calls=1))
            if b'aria-busy="true"' not in asked[-1].body:
                break
            time.sleep(1)
        seconds = time.perf_counter() - start
        times = [time for page in asked for time in page.times]
        processor_times = [time for page in asked for time in page.processor_times]
        rows.append(PageTimes(f"preview of {name}, computed in {seconds:.0f} s", times, processor_times))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    with (
        grown_store("Times the pages that read a watched table.", arguments) as store,
        tempfile.TemporaryDirectory(prefix="plumbline-pages-") as folder,
        served(store, Path(folder)) as (port, served_store),
    ):
        rows = times_of(port, served_store)
    sys.stdout.write("\n".join(markdown_table(COLUMNS, [row.cells for row in rows])) + "\n")


if __name__ == "__main__":
    main()
