"""Columns of the key that have another role as well: the time, the entity, a feature."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Column, DateTime, Double, Integer, MetaData, SmallInteger, String, Table, insert

from jobs.databases import writing
from jobs.evaluation import evaluate_monitor, forecast_monitor
from jobs.reading.source import Source, keys_of
from jobs.scoring.run import score_monitor
from jobs.training.train import train_monitor
from jobs.training.training_set import read_training_set, split_records, training_range
from schemas.config import ModelConfig, MonitorConfig

TRAINING, NEW = 400, 40
SPIKE = 25.0
SMALL = ModelConfig(members=1, hidden=8, steps=20)
KEYS = (["device", "ts"], ["ts", "device"], ["ts"], ["ts", "room"])


@dataclass
class SensorTable:
    """Readings of one sensor with a time in the key, and monitors on them."""

    store: object
    now: object
    opened: list = field(default_factory=list)

    def __post_init__(self):
        columns = [Column("ts", DateTime(timezone=True)), Column("device", String(20)), Column("room", SmallInteger)]
        columns += [Column("flow", Double), Column("level", Double), Column("is_fault", Integer)]
        self.table = Table("readings", MetaData(), *columns)
        with writing(self.store.engine) as connection:
            self.table.create(connection)
            connection.execute(insert(self.table), list(self._rows()))

    def _rows(self):
        values = np.random.default_rng(0).normal(size=(TRAINING + NEW, 2))
        values[-1] += SPIKE
        times = pd.date_range("2026-01-01", periods=len(values), freq="min", tz="UTC").to_pydatetime()
        is_zoned = self.store.engine.dialect.name == "postgresql"
        for i, (time, (flow, level)) in enumerate(zip(times, values, strict=True)):
            written = time if is_zoned else time.replace(tzinfo=None)
            is_fault = int(i == len(values) - 1)
            yield {"ts": written, "device": "a", "room": i % 3, "flow": flow, "level": level, "is_fault": is_fault}

    def source(self, key, **settings):
        given = {
            "table": "readings",
            "key": key,
            "time": "ts",
            "numeric": ["flow", "level"],
            "label": "is_fault",
            "normal": f"ts < '2026-01-01 {TRAINING // 60:02d}:{TRAINING % 60:02d}:00'",
            "false_positive_rate": 0.02,
            "batch_size": 100,
            "model": SMALL,
        }
        self.opened.append(Source("pump", MonitorConfig(**given | settings), self.store.engine))
        return self.opened[-1]

    def clock(self):
        return self.now


@pytest.fixture
def sensors(store, now):
    table = SensorTable(store, now)
    yield table
    for source in table.opened:
        source.close()


def test_a_time_in_the_key_is_trained_on_compared_and_scored(sensors):
    source, store = sensors.source(["device", "ts"]), sensors.store
    assert train_monitor(source, store, sensors.clock).is_champion
    assert train_monitor(source, store, sensors.clock).verdict != "first"  # compared with the champion
    assert score_monitor(source, store, sensors.clock).records == TRAINING + NEW
    assert forecast_monitor(source, store).records == NEW
    assert evaluate_monitor(source, store).evaluation.recall == 1


@pytest.mark.parametrize("key", KEYS, ids=" ".join)
def test_records_with_a_time_in_the_key_are_split_by_time(sensors, key):
    source, feedback = sensors.source(key), sensors.store.feedback.read("pump")
    normal = read_training_set(source, feedback, sensors.now)
    unseen = frozenset(keys_of(source.read_normal(60), source.monitor.key))
    parts = split_records(normal, source.monitor, unseen)
    assert parts.held_out["ts"].min() > parts.normal.training["ts"].max()
    assert set(keys_of(parts.held_out, source.monitor.key)) <= unseen
    assert training_range(normal, source.monitor).records == TRAINING


@pytest.mark.parametrize("key", KEYS, ids=" ".join)
def test_series_with_a_time_in_the_key_are_trained_on_and_scored(sensors, key):
    source = sensors.source(key, entity="device", series={"network": False})
    train_monitor(source, sensors.store, sensors.clock)
    report = score_monitor(source, sensors.store, sensors.clock)
    assert report.records == TRAINING + NEW
    assert report.anomalies >= 1


def test_time_entity_and_features_may_all_be_in_the_key(sensors):
    source = sensors.source(["ts", "device", "room"], entity="device", categorical=["room"])
    records = source.read_newest(10)
    last = TRAINING + NEW - 1
    assert records["room"].iloc[-1] == str(last % 3)
    assert keys_of(records, source.monitor.key)[-1][1:] == ("a", last % 3)
    assert source.read_keys(keys_of(records, source.monitor.key)).equals(records)
