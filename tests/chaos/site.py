"""The site of a round: a store with trained models, watched tables, and configurations for processes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from detector.records.card import RecordCard
from jobs.app import open_store
from jobs.databases import open_engine, reading
from jobs.store import NewModel, migrations
from tests.chaos.outcome import read_outcome
from tests.chaos.watched import NARROW, training_records
from tests.workspace import Workspace, readings

_CONFIG = """\
[store]
url = "{store}"
[store.timeouts]
lock = "5s"
[service]
api = false
log = "json"
[alerts]
per_hour = {per_hour}
[alerts.channels]
ops = "{channel}"
"""
_NOWHERE = "json://localhost"
_SMALL, _LARGE = 20, 5_000


def train(folder, monitors=NARROW):
    """Train a small model for each kind of monitor, which all rounds use, and return them by monitor."""
    workspace = Workspace(folder)
    url = "sqlite:///plumbline.db"
    path = _write(folder, "config", [item.section(_LARGE, url) for item in monitors], store=url)
    path.write_text(path.read_text().replace("updated =", "# updated ="), encoding="utf-8")
    readings().to_csv(folder / "pump_readings.csv", index=False)
    training_records().to_csv(folder / "machines.csv", index=False)
    workspace.must("migrate")
    for watched in {item.training: item for item in monitors}.values():
        name = watched.table.name
        file = "pump_readings.csv" if name == "pump_readings" else "machines.csv"
        workspace.must("import", file, "--table", name)
        workspace.must("train", watched.training)
    store = open_store(open_engine(SecretStr(f"sqlite:///{folder / 'plumbline.db'}")))
    trained = {
        model.monitor: NewModel(store.models.blob(model.id), model.sha256, {"format": 1}, RecordCard())
        for model in store.models.all()
    }
    store.engine.dispose()
    return {item.name: trained[item.training] for item in monitors}


@dataclass(frozen=True)
class Site:
    """Databases with a store and watched tables.

    Args:
        folder: for configurations.
        database: of the store.
        source: database of the watched tables.
        models: the first champion of each monitor.
        channel: address for alerts.
        monitors: that watch the tables.
    """

    folder: Path
    database: object
    source: object
    models: dict
    channel: str
    monitors: tuple = NARROW

    @property
    def databases_with_faults(self):
        """The databases whose failure processes notice, unlike a full disk with a file that is only read."""
        return [self.database, *([self.source] if self.source.fault == "the database crashes" else [])]

    def prepare(self):
        """Return the new store, with a champion of each monitor."""
        return self._store(self.database.url("harness"), self.models)

    def source_engine(self):
        """Return an engine on the database of the watched tables."""
        return open_engine(SecretStr(self.source.url("harness")))

    def configure(self, name, per_hour=1_000_000):
        """Write the configuration of a process, and return its file."""
        sections = [item.section(_SMALL, self.source.url(name)) for item in self.monitors]
        store = self.database.url(name)
        return _write(self.folder, name, sections, store=store, channel=self.channel, per_hour=per_hour)

    def undisturbed(self, monitor, model=None):
        """Return the outcome of one run over the present table, in a separate store, in large batches.

        Args:
            monitor: the name of the monitor.
            model: its champion; its first one by default.
        """
        url = f"sqlite:///{self.folder / 'undisturbed.db'}"
        store = self._store(url, {monitor: model or self.models[monitor]})
        sections = [item.section(_LARGE, self.source.url("harness")) for item in self.monitors]
        path = _write(self.folder, "undisturbed", sections, store=url)
        Workspace(self.folder).must("score", monitor, "--config", path)
        with reading(store.engine) as connection:
            outcome = read_outcome(connection, monitor)
        store.engine.dispose()
        for file in self.folder.glob("undisturbed.db*"):
            file.unlink()
        return outcome

    def _store(self, url, champions):
        engine = open_engine(SecretStr(url))
        migrations.upgrade(engine)
        store = open_store(engine)
        for name, model in champions.items():
            store.models.add(name, model, datetime.now(UTC), promote=True)
        return store


def let_leases_run_out(connection):
    """Expire the leases of alerts that a killed process was about to deliver."""
    connection.execute(text("UPDATE alerts SET lease_until = created_at WHERE state = 'sending'"))


def _write(folder, name, sections, **values):
    """Write a configuration, in one step for services that read it meanwhile."""
    path, new = folder / f"{name}.toml", folder / f"{name}.toml.new"
    defaults = {"channel": _NOWHERE, "per_hour": 1_000_000}
    new.write_text(_CONFIG.format(**defaults | values) + "".join(sections), encoding="utf-8")
    new.rename(path)
    return path
