"""A service for tests of the API: a store with rows in every table, and a plain HTTP client."""

import http.client
import json
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import insert

from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from jobs.api import ApiServer, create_app
from jobs.app import open_store
from jobs.database_calls import Wait
from jobs.databases import open_engine, writing
from jobs.reading.source import Source
from jobs.settings_in_force import settings_in_force
from jobs.store import Store, migrations
from schemas import tables
from schemas.config import Config, ModelConfig, parse_config
from schemas.errors import NoChampion, StoreError
from tests.samples import FEATURES, make_records

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
JSON = {"Content-Type": "application/json"}
RECORD = {"load": 0.1, "flow": 51, "pressure": None, "is_open": True, "mode": "high", "read_at": "2026-01-05T00:00:00Z"}
MANIFEST = {"format": 1, "about": {}, "config": {}, "columns": []}
HOSTILE = 'pump\'; DROP TABLE anomalies; -- "%s" ${HOME} ü是\n\\'
MONITORS = {
    "pump": {
        "table": "pump_readings",
        "key": "id",
        "time": "at",
        "entity": "pump_id",
        "numeric": list(FEATURES.numeric),
        "boolean": list(FEATURES.boolean),
        "categorical": list(FEATURES.categorical),
        "timestamp": list(FEATURES.timestamp),
    },
    "boiler": {"table": "boiler", "key": "id", "numeric": ["heat"], "score_every": "0 3 * * *"},
}


@cache
def trained():
    """Train a champion on the sample records."""
    records = make_records(600)
    split = NormalRecords(records.iloc[:400], records.iloc[400:])
    model = ModelConfig(members=1, hidden=8, steps=40)
    return RecordScorer(fit_artifact(split, FEATURES, model, rule=DecisionRule(rate=0.05)))


@dataclass
class FakeService:
    """A service as the API sees it, with a fixed clock."""

    store: Store
    config: Config
    alive: bool = True
    waiting: dict[str, Wait] = field(default_factory=dict)

    @property
    def health(self):
        return self.store

    def waits(self):
        return self.waiting

    def clock(self):
        return NOW

    def is_alive(self):
        return self.alive

    def settings(self, monitor):
        return settings_in_force(self.store, monitor, self.config.monitor(monitor))

    @contextmanager
    def open_source(self, monitor):
        with closing(Source(monitor, self.settings(monitor), self.store.ledger.engine)) as source:
            yield source

    def scorer_for(self, monitor):
        self.config.monitor(monitor)
        if monitor != "pump":
            raise NoChampion(monitor)
        return 1, trained()


def api_document():
    """Return the OpenAPI document of a service without monitors."""
    return create_app(FakeService(None, Config())).openapi()


@dataclass(frozen=True)
class Answer:
    """A response of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Sends requests to a server on this machine."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path, **headers):
        return self.send("GET", path, headers=headers)

    def post(self, path, document, **headers):
        return self.send("POST", path, json.dumps(document).encode(), JSON | headers)

    def send(self, method, path, body: Any = None, headers=None, **options):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, self.headers | (headers or {}), **options)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@contextmanager
def serving(service):
    """Start the API of a service, and yield a client for it."""
    server = ApiServer(service, "127.0.0.1", 0)
    server.start()
    try:
        yield Client(server.port)
    finally:
        server.stop()


@contextmanager
def module_url(request, tmp_path_factory):
    """Yield the address of an empty database of the fixture's parameter, for the tests of a module."""
    if request.param == "sqlite":
        yield SecretStr(f"sqlite:///{tmp_path_factory.mktemp('api') / 'plumbline.db'}")
        return
    with request.getfixturevalue("empty_database")() as url:
        yield url


@contextmanager
def opened_service(url, **service):
    """Yield a service on a database with rows in every table."""
    engine = open_engine(url)
    if _is_empty(engine):
        migrations.upgrade(engine)
    sections = {"service": service, "monitors": MONITORS, "alerts": {"channels": {"ops": "json://localhost"}}}
    config = parse_config(sections, Path("config.toml"))
    fill(engine)
    yield FakeService(open_store(engine), config)
    engine.dispose()


def _is_empty(engine):
    try:
        return migrations.current(engine) is None
    except StoreError:  # the file does not exist yet
        return True


def fill(engine):
    """Insert batches, anomalies (one superseded), incidents, events, runs, alerts and a retrain request."""
    minute = timedelta(minutes=1)
    with writing(engine) as connection:
        for table, rows in _rows(minute).items():
            for row in rows:
                connection.execute(insert(tables.metadata.tables[table]).values(row))


def _rows(minute):
    pump = {"monitor": "pump"}
    cause = {"feature": "flow", "share": 3.0, "deviation": -2.0, "value": None, "expected": 50.5}
    scores = {"anomaly_score": 9.0, "p_value": 0.005, "severity": 60.0, "threshold": 4.0, "top_feature": "flow"}
    anomaly = pump | scores | {"attribution": [cause], "model_id": 1, "batch_id": 1, "flagged_at": NOW}
    when = {"start_time": NOW - minute, "end_time": NOW, "peak_time": NOW, "opened_at": NOW, "updated_at": NOW}
    peak = {"peak_score": 9.0, "peak_severity": 60.0, "records": 1, "top_feature": "flow", "causes": [cause]}
    batch = pump | {"planned_at": NOW, "attempts": 1}
    done = batch | {"state": "done", "model_id": 1, "records": 1000, "anomalies": 2, "late_records": 3}
    run = pump | {"kind": "score", "started_at": NOW - minute}
    alert = pump | {"reason": "opened", "title": "t", "body": "b", "created_at": NOW, "next_try_at": NOW}
    model = pump | {"state": "champion", "created_at": NOW, "promoted_at": NOW, "sha256": "ab" * 32}
    return {
        "models": [model | {"artifact": b"\0", "manifest": MANIFEST, "card": {}, "card_markdown": "# Card"}],
        "batches": [
            done | {"after_key": "", "upto_key": "[1000]"},
            batch | {"state": "pending", "after_key": "[1000]", "upto_key": "[2000]"},
        ],
        "incidents": [
            pump | when | peak | {"entity": HOSTILE, "state": "open"},
            pump | when | peak | {"entity": "b", "state": "merged", "merged_into": 1},
        ],
        "anomalies": [
            anomaly | {"record_key": "1", "entity": HOSTILE, "record_time": NOW, "label": "false_positive"},
            anomaly | {"record_key": "2", "entity": "b", "incident_id": 1, "reconstruction_error": 2.5, "elbo": -1.5},
            anomaly | {"record_key": "3", "entity": "b", "superseded_at": NOW},
        ],
        "monitors": [pump | {"scored_until": NOW - 5 * minute, "too_late_records": 7}],
        "events": [
            pump | {"kind": "gap", "at": NOW, "since": NOW - minute, "message": "silent"},
            {"kind": "config_refused", "at": NOW, "message": "no"},
        ],
        "runs": [
            run | {"finished_at": NOW, "outcome": "done", "counts": {"batches": 1}},
            run | {"finished_at": NOW - minute / 2, "outcome": "failed", "message": "no table"},
            run,
        ],
        "alerts": [
            alert | {"channel": "ops", "incident_id": 1, "state": "failed"},
            alert | {"channel": "ops", "incident_id": 2, "created_at": NOW - minute},
        ],
        "retrain_requests": [pump],
    }
