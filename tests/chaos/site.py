"""The site of a round: a store with a trained model, a watched table, and configurations for processes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from detector.records.card import RecordCard
from jobs.app import open_store
from jobs.databases import open_engine
from jobs.store import NewModel, migrations
from schemas.tables import models
from tests.chaos.outcome import read_outcome
from tests.workspace import PUMP, SMALL_MODEL, Workspace, readings

_MONITOR = PUMP.replace("batch_size = 300\n", "") + (
    'updated = "changed_at"\n'
    'score_every = "1s"\n'
    'lease = "3s"\n'
    'incident_gap = "10m"\n'
    'gap_after = "9000d"\n'
    'alert = { newest = "9000d" }\n'
    'store_scores = "all"\n'
)
_CONFIG = """\
[store]
url = "{store}"
[service]
api = false
log = "json"
[alerts]
per_hour = 1000000
[alerts.channels]
ops = "{channel}"
[monitors.pump]
source = "{source}"
batch_size = {batch_size}
{monitor}
[monitors.pump.model]
{model}
"""
_NOWHERE = "json://localhost"
_SMALL, _LARGE = 20, 5_000


def train(folder):
    """Train a small model, which all rounds use."""
    workspace = Workspace(folder)
    readings().to_csv(folder / "readings.csv", index=False)
    workspace.configure("sqlite:///plumbline.db", PUMP)
    for command in ("migrate", "import readings.csv --table pump_readings", "train pump"):
        workspace.must(*command.split())
    (row,) = workspace.query(f"SELECT artifact, sha256 FROM {models.name}")
    return NewModel(row[0], row[1], {"format": 1}, RecordCard())


@dataclass(frozen=True)
class Site:
    """A database with a store and a watched table.

    Args:
        folder: for configurations.
        database: of both.
        model: the champion.
        channel: address for alerts.
    """

    folder: Path
    database: object
    model: NewModel
    channel: str

    def prepare(self):
        """Return an engine on the new store."""
        return self._store(self.database.url("harness"))

    def configure(self, name):
        """Write the configuration of a process, and return its file."""
        url = self.database.url(name)
        return self._write(name, store=url, source=url, channel=self.channel, batch_size=_SMALL)

    def undisturbed(self):
        """Return the outcome of one run over the present table, in a separate store, in large batches."""
        store = f"sqlite:///{self.folder / 'undisturbed.db'}"
        engine = self._store(store)
        source = self.database.url("harness")
        path = self._write("undisturbed", store=store, source=source, channel=_NOWHERE, batch_size=_LARGE)
        Workspace(self.folder).must("score", "pump", "--config", path)
        with engine.connect() as connection:
            outcome = read_outcome(connection)
        engine.dispose()
        return outcome

    def _store(self, url):
        engine = open_engine(SecretStr(url))
        migrations.upgrade(engine)
        open_store(engine).models.add("pump", self.model, datetime.now(UTC), promote=True)
        return engine

    def _write(self, name, **values):
        path = self.folder / f"{name}.toml"
        path.write_text(_CONFIG.format(monitor=_MONITOR, model=SMALL_MODEL, **values), encoding="utf-8")
        return path


def let_leases_run_out(connection):
    """Expire the leases of alerts that a killed process was about to deliver."""
    connection.execute(text("UPDATE alerts SET lease_until = created_at WHERE state = 'sending'"))
