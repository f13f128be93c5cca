"""Benchmark of the operator's pages on a store that has grown: ``python -m benchmarks.page_times [ADDRESS]``.

The store is that of `benchmarks.store_queries`: 50 monitors, 100,000 batches, 200,000 incidents and 2,000,000 flagged
rows of 2,000 entities; `--scale` makes all of it smaller. Each page is requested over HTTP, 21 times after a first
request that does not count; the median and the slowest count. The time of the processor depends less on what else
the machine does. `benchmarks.watched_pages` has the pages that read a watched table.

Progress goes to stderr, the table to stdout.
"""

import http.client
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import print_progress
from benchmarks.report import markdown_table
from benchmarks.store_queries import MONITORS, NOW, grown_store
from jobs.api import ApiServer
from jobs.database_calls import Wait
from jobs.settings_in_force import settings_in_force
from jobs.store import Store
from schemas.config import Config, MonitorConfig, parse_config
from schemas.errors import NoChampion

if TYPE_CHECKING:
    from jobs.reading.source import Source

CALLS = 21
SMALL_FLEET = 5
COLUMNS = ("page", "median, ms", "slowest, ms", "CPU, ms")
PAGES = {
    "monitor, 7 days": "/page/monitors/m3",
    "monitor, 90 days by cause": "/page/monitors/m3?days=90&by=cause",
    "monitor, a year ago": "/page/monitors/m3?days=30&until=2025-06-01",
    "incident": "/page/incidents/8",
    "record": "/page/records/8",
    "models": "/page/monitors/m3/models",
    "model": "/page/models/8",
    "events": "/page/events",
    "events of a monitor": "/page/events?monitor=m3",
    "alerts": "/page/alerts",
}


@dataclass(frozen=True)
class FilledService:
    """A service without a watched table, as the API sees it."""

    store: Store
    config: Config

    @property
    def health(self) -> Store:
        """The store."""
        return self.store

    def clock(self) -> datetime:
        """Return the time at which the store ends."""
        return NOW

    def settings(self, monitor: str) -> MonitorConfig:
        """Return the settings in force, as the service reads them for each page."""
        return settings_in_force(self.store, monitor, self.config.monitor(monitor))

    def open_source(self, monitor: str) -> "AbstractContextManager[Source]":
        """Refuse: there is no watched table."""
        raise NoChampion(monitor)

    def scorer_for(self, monitor: str) -> Any:
        """Refuse: there is no model that scores."""
        raise NoChampion(monitor)

    def is_alive(self) -> bool:
        """Return True."""
        return True

    def waits(self) -> Mapping[str, Wait]:
        """Return no monitor."""
        return {}


@dataclass(frozen=True)
class PageTimes:
    """The times of the requests of a page in milliseconds, and the body of the last answer.

    The time of the processor is that of this process, which also sends the requests, without the database's.
    """

    name: str
    times: Sequence[float]
    processor_times: Sequence[float]
    body: bytes = b""

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The cells of a row of the table."""
        numbers = (statistics.median(self.times), max(self.times), statistics.median(self.processor_times))
        median, slowest, processor = (f"{number:.0f}" for number in numbers)
        return self.name, median, slowest, processor


def requested(port: int, name: str, paths: Sequence[str], calls: int = CALLS) -> PageTimes:
    """Return the times of a page: of one address after a first request that does not count, or of each of several."""
    first = paths if len(paths) == 1 and calls > 1 else ()
    sent = [*first, *(paths if len(paths) > 1 else [paths[0]] * calls)]
    times: list[float] = []
    processor_times: list[float] = []
    body = b""
    for path in sent:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        start, processor_start = time.perf_counter(), time.process_time()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        times.append((time.perf_counter() - start) * 1000)
        processor_times.append((time.process_time() - processor_start) * 1000)
        connection.close()
        if answer.status != http.HTTPStatus.OK:
            sys.exit(f"{path} has status {answer.status}.")
    page = PageTimes(name, times[len(first) :], processor_times[len(first) :], body)
    print_progress(f"{paths[0]}: {statistics.median(page.times):.0f} ms")
    return page


def times_of(store: Store, monitors: int, pages: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the times of pages by name, of a service that has some monitors of a store."""
    monitor = {"table": "t", "key": "id", "time": "at", "entity": "e", "numeric": ["x"]}
    config = parse_config({"monitors": {f"m{n}": monitor for n in range(monitors)}}, Path("config.toml"))
    server = ApiServer(FilledService(store, config), "127.0.0.1", 0)
    server.start()
    try:
        return [requested(server.port, name, [path]).cells for name, path in pages.items()]
    finally:
        server.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    with grown_store("Times the operator's pages on a store that has grown.", arguments) as store:
        rows = times_of(store, SMALL_FLEET, {f"fleet of {SMALL_FLEET}": "/"})
        rows += times_of(store, MONITORS, PAGES | {f"fleet of {MONITORS}": "/"})
    sys.stdout.write("\n".join(markdown_table(COLUMNS, rows)) + "\n")


if __name__ == "__main__":
    main()
