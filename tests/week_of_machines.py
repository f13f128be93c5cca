"""A simulated week of ten machines in Berlin, after four weeks of history, run by run as `serve` would score it."""

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from jobs.alerting import deliver_alerts
from jobs.champions import Scorers
from jobs.importing.importing import import_file
from jobs.reading.source import Source
from jobs.scoring.run import score_monitor
from jobs.store import IncidentQuery
from jobs.timing import Timing
from jobs.training.train import train_monitor
from schemas.config import parse_config

BERLIN = ZoneInfo("Europe/Berlin")
HISTORY = datetime(2026, 2, 23, tzinfo=BERLIN)
MONDAY = datetime(2026, 3, 23, tzinfo=BERLIN)
END = datetime(2026, 3, 30, 8, tzinfo=BERLIN)
RESTING = {f"machine-{number:02}" for number in range(6, 11)}  # on weekends
MACHINES = sorted({f"machine-{number:02}" for number in range(1, 6)} | RESTING)
_WEEKEND = {5, 6}
_HOUR = timedelta(hours=1)


def at(day, clock):
    """Return the UTC time of a local time in the week, 0 for Monday."""
    date = MONDAY.date() + timedelta(days=day)
    return datetime.combine(date, time.fromisoformat(clock), BERLIN).astimezone(UTC)


def readings():
    """Return the readings of the machines, one each half hour; on weekends five of them rest."""
    rng = np.random.default_rng(7)
    times = pd.date_range(HISTORY.astimezone(UTC), END.astimezone(UTC), freq=_HOUR / 2, tz="UTC")
    frame = pd.DataFrame([(time, name) for time in times for name in MACHINES], columns=["read_at", "machine"])
    is_weekend = frame["read_at"].dt.tz_convert(BERLIN).dt.day_of_week.isin(_WEEKEND)
    frame = frame[~(is_weekend & frame["machine"].isin(RESTING))].reset_index(drop=True)
    load, noise = rng.uniform(0, 1, len(frame)), rng.normal(size=(3, len(frame)))
    values = {
        "flow": 50 + 20 * load + noise[0],
        "pressure": 3 + 2 * load + 0.1 * noise[1],
        "bearing": 40 + 15 * load + 0.8 * noise[2],
    }
    return frame.assign(**values, id=np.arange(1, len(frame) + 1))


def with_change(frame, machine, start, end, **changes):
    """Return readings in which the values of a machine are changed by some amount from a time to another."""
    is_inside = (frame["machine"] == machine) & (frame["read_at"] >= start) & (frame["read_at"] < end)
    return frame.assign(**{name: frame[name] + change * is_inside for name, change in changes.items()})


def without(frame, machine, start):
    """Return readings in which a machine sends nothing from a time on."""
    return frame[~((frame["machine"] == machine) & (frame["read_at"] >= start))]


class Week:
    """The machines, their monitor, and a channel that receives the alerts.

    Args:
        store: with a current schema; the readings go into the same database.
        folder: for a file.
        frame: the readings.
        server: the channel.
        settings: of the monitor, as in the configuration.

    Attributes:
        messages: local time and title of each message, without its severity.
    """

    def __init__(self, store, folder, frame, server, settings):
        self.store, self.server, self.now, self.messages = store, server, MONDAY.astimezone(UTC), []
        frame.to_parquet(folder / "readings.parquet")
        import_file(folder / "readings.parquet", store.engine, "readings")
        last_normal = int(frame.loc[frame["read_at"] < self.now, "id"].max())
        monitor = {"table": "readings", "normal": f"id <= {last_normal}"} | settings
        document = {"alerts": {"channels": {"ops": server.address}}, "monitors": {"plant": monitor}}
        self.config, self.scorers = parse_config(document, folder), Scorers()
        self.source = Source("plant", self.config.monitor("plant"), store.engine)
        train_monitor(self.source, store, self.clock)

    def clock(self):
        return self.now

    def serve_until(self, end):
        """Deliver alerts each hour, and score when it is due."""
        timing = Timing(self.source.monitor.score_every, self.source.monitor.time_zone)
        while self.now < end:
            if timing.last_due(self.now) == self.now:
                score_monitor(self.source, self.store, self.clock, load=self.scorers.load)
            self._deliver()
            self.now += _HOUR

    def _deliver(self):
        earlier = len(self.server.received)
        deliver_alerts(self.store.outbox, self.config.alerts.channels, self.config.alerts.per_hour, self.clock)
        local = f"{self.now.astimezone(BERLIN):%a %H:%M}"
        titles = [message["title"] for message in self.server.received[earlier:]]
        self.messages += [(local, re.sub(r" \(severity \d+\)", "", title)) for title in titles]

    def incident_of(self, machine):
        """Return the newest incident of a machine."""
        return self.store.incidents.page(IncidentQuery("plant", entity=machine, limit=1))[0]
