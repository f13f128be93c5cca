"""A monitor of series on readings of two machines, for tests with a database."""

from sqlalchemy import select

from jobs.databases import reading
from jobs.importing.importing import import_file
from jobs.reading.source import Source
from jobs.scoring.run import score_monitor
from jobs.training.train import TrainingOrder, train_monitor
from schemas.config import MonitorConfig
from schemas.tables import scores
from tests.machines import interleaved, machine

MIXER = {
    "table": "mixer",
    "key": "id",
    "time": "read_at",
    "entity": "machine",
    "numeric": ["torque", "speed", "load"],
    "boolean": ["is_open"],
    "label": "is_fault",
    "normal": "id <= 1200",
    "store_scores": "all",
    "series": {},
}


def readings():
    """Readings of two machines; one spikes and the other's sensor sticks after those that count as normal."""
    first, second = machine("a", 800, 0), machine("b", 800, 1)
    first.loc[700:702, ["speed", "is_fault"]] += [9, 1]
    second.loc[740:779, "torque"] = second.loc[740, "torque"]
    second.loc[745:779, "is_fault"] = 1
    return interleaved(first, second)


class Mixer:
    """A monitor on readings in a table."""

    def __init__(self, store, folder, now):
        self.store, self.folder, self.now, self.sources = store, folder, now, []

    def fill(self, frame, **options):
        frame.to_parquet(self.folder / "mixer.parquet")
        import_file(self.folder / "mixer.parquet", self.store.engine, "mixer", **options)

    def source(self, **changes):
        settings = {name: value for name, value in (MIXER | changes).items() if value is not None}
        if "series" in settings:
            settings["series"] = {"network": False, **settings["series"]}  # trains in a moment
        self.sources.append(Source("mixer", MonitorConfig(**settings), self.store.engine))
        return self.sources[-1]

    def train(self, policy="always", **changes):
        return train_monitor(self.source(**changes), self.store, lambda: self.now, order=TrainingOrder(policy))

    def score(self, **changes):
        return self.score_with(self.source(**changes), self.store)

    def score_with(self, source, store):
        return score_monitor(source, store, lambda: self.now)

    def vae_scores(self):
        """Key, anomaly score, reconstruction error and ELBO of every record."""
        c = scores.c
        statement = select(c.record_key_int, c.anomaly_score, c.reconstruction_error, c.elbo)
        with reading(self.store.engine) as connection:
            return connection.execute(statement.order_by(c.record_key_int)).all()

    def scores(self):
        """Key, score, p-value and flag of every record."""
        c = scores.c
        wanted = select(c.record_key_int, c.anomaly_score, c.p_value, c.is_anomaly).order_by(c.record_key_int)
        with reading(self.store.engine) as connection:
            return connection.execute(wanted).all()

    def close(self):
        for source in self.sources:
            source.close()
