"""Incidents are alerted once n of m consecutive records of their entity are flagged, however batches are cut."""

import itertools
import tomllib
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import event, select

from jobs.databases import reading
from jobs.incident_rule import incident_rule
from jobs.retention import limits_of
from jobs.scoring.run import plan_batches
from jobs.store import Anomaly, BatchResult, IncidentQuery
from schemas.config import AlertsConfig, Config
from schemas.frames import Explanation
from schemas.keys import KeyRange
from schemas.tables import alerts, anomalies, batch_entities
from tests.integration.test_threshold_states import forget
from tests.mariadb_server import on_mariadb_too
from tests.unit.test_json_schema import BASE, is_parsed
from tests.watched_table import START, MonitoredTable, at

OF = 5
GAP = timedelta(minutes=15)
SETTINGS = {"gap_after": "9000d", "silent_after": "never", "incident_gap": "15m"}
RULE = {"channels": ["ops"], "consecutive": {"records": 3, "of": OF}, "ignore_below": {"flow": 5.0}}
LEFT_OUT, NORMAL, COUNTED = 4.0, 1.0, 9.0
PUMPS = ("pump-1", "o'hara \"é", None)


def watched(store, alert=RULE, **settings):
    return MonitoredTable(store, alert=alert, **(SETTINGS | settings))


def fill(pump, keys, rng):
    for key in keys:
        value = rng.choice([NORMAL, LEFT_OUT, COUNTED], p=[0.25, 0.1, 0.65])
        pump.put(int(key), value=float(value), entity=PUMPS[rng.integers(3)])


def as_defined(pump):
    """Return the number of flagged records in a row up to each one that counts, by key, from the watched table."""
    c = pump.table.c
    with reading(pump.store.engine) as connection:
        rows = connection.execute(select(c.id, c.pump, c.flow).order_by(c.id)).all()
    counts = {}
    for entity in PUMPS:
        mine = [(key, flow == COUNTED) for key, name, flow in rows if name == entity]
        for index, (key, is_counted) in enumerate(mine):
            if is_counted:
                before = [other for other, counted in mine[max(0, index - OF + 1) : index + 1] if counted]
                far = [n for n, (a, b) in enumerate(itertools.pairwise(before), 1) if at(b) - at(a) > GAP]
                counts[str(key)] = len(before) - max(far, default=0)
    return counts


def as_stored(pump):
    c = anomalies.c
    return dict(pump.rows(c.record_key, c.in_row, where=c.superseded_at.is_(None) & c.held_back.is_(None)))


@on_mariadb_too
@pytest.mark.parametrize("batch_size", [1, 7, 200])
def test_records_in_a_row_are_counted_alike_however_batches_are_cut_and_whenever_records_come(store, batch_size):
    rng, pump = np.random.default_rng(batch_size), watched(store, batch_size=batch_size)
    keys = rng.permutation(np.arange(1, 201, 3))
    first, late = np.sort(keys[:50]), keys[50:]
    fill(pump, first, rng)
    pump.now = at(202)
    pump.score()
    fill(pump, late[:15], rng)
    pump.remove(*map(int, first[20:27]))
    pump.correct(int(first[40]), value=COUNTED, entity=PUMPS[0])
    pump.wait(minutes=30)
    pump.score()
    assert as_stored(pump) == as_defined(pump)
    assert max(as_stored(pump).values()) >= 3
    for incident in pump.store.incidents.page(IncidentQuery("pump", limit=500)):
        is_counted = (anomalies.c.incident_id == incident.id) & anomalies.c.held_back.is_(None)
        rows = pump.rows(anomalies.c.in_row, where=is_counted)
        held_back = "rules" if not rows else ("consecutive" if max(rows) < 3 else None)
        assert incident.held_back == held_back


@pytest.mark.parametrize("middle", [COUNTED, NORMAL])
def test_a_batch_that_another_worker_finishes_last_joins_or_parts_what_lies_around_it(store, middle):
    pump = watched(store, batch_size=2)
    pump.put(1, 2, 5, 6, value=COUNTED)
    pump.put(3, 4, value=middle)
    pump.now = at(10)
    plan_batches(pump.source(), store, pump.clock)
    first, second = (store.ledger.claim("pump", 1, pump.now, GAP) for _ in range(2))
    store.ledger.release(first)
    pump.score()
    assert as_stored(pump) == {"1": 1, "2": 2, "5": 3, "6": 4}
    store.ledger.release(second)
    pump.score()
    assert as_stored(pump) == as_defined(pump)


def test_a_batch_that_is_finished_last_is_counted_only_for_entities_that_are_flagged_later(store):
    pump = watched(store)
    rule = incident_rule(pump.source().monitor)
    for first in (0, 100):
        store.ledger.plan("pump", KeyRange((first,) if first else None, (first + 100,)), pump.now)
    earlier, later = (store.ledger.claim("pump", 1, pump.now, GAP) for _ in range(2))
    flagged = Anomaly("101", 101, pump.now, "7", 9.0, 0.01, 50.0, 4.0, Explanation(()), entity_position=1)
    counts, statements = {str(number): 1 for number in range(100)}, []
    store.ledger.finish(later, BatchResult(100, (flagged,), entity_counts=counts), pump.now, rule)
    event.listen(store.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    store.ledger.finish(earlier, BatchResult(100, (), entity_counts=counts), pump.now, rule)
    assert sum("FROM batch_entities" in statement and "LIMIT" in statement for statement in statements) == 2


@pytest.mark.parametrize(
    ("rule", "values", "alerted_at"),
    [
        (3, [9, 9, 1, 9, 9, 9, 9], 6),
        ({"records": 3, "of": 5}, [9, 1, 9, 1, 9, 9], 5),
        (3, [9, 4, 9, 9, 1], None),
    ],
)
def test_an_incident_is_alerted_with_the_record_that_completes_the_row(store, rule, values, alerted_at):
    pump = watched(store, alert=RULE | {"consecutive": rule, "on": ["open"]})
    for key, value in enumerate(values, 1):
        pump.put(key, value=float(value))
        pump.put(100 + key, value=9.0 * (key % 2), entity="pump-2", time=at(key))
        pump.now = at(key)
        pump.score()
        is_alerted = "pump, pump-1: anomalous (severity 9)" in pump.rows(alerts.c.title)
        assert is_alerted == (alerted_at is not None and key >= alerted_at)
        assert pump.store.incidents.page(IncidentQuery(entity="pump-1"))[0].held_back == (
            None if is_alerted else "consecutive"
        )


def test_records_of_series_are_counted_alike_however_batches_are_cut(mixer):
    mixer.train()
    c, counted = anomalies.c, []
    for batch_size in (1_600, 130):
        forget(mixer)
        mixer.score(batch_size=batch_size, alert=RULE | {"ignore_below": {}})
        with reading(mixer.store.engine) as connection:
            rows = connection.execute(select(c.record_key_int, c.entity, c.in_row).order_by(c.record_key_int)).all()
        counted.append(rows)
    assert counted[0] == counted[1]
    assert max(row.in_row for row in counted[0]) == OF


def test_merged_batches_keep_the_places_of_their_rows(store):
    rng, pump = np.random.default_rng(5), watched(store, batch_size=4, late_after="1d")
    fill(pump, range(1, 81), rng)
    pump.now = START + timedelta(days=1)
    pump.score()
    before = as_stored(pump)
    pump.wait(days=60)
    pump.score()
    pump.settings["batch_size"] = 50
    channels = AlertsConfig(channels={"ops": "json://localhost"})
    config = Config(alerts=channels, monitors={"pump": pump.source().monitor})
    pump.store.retention.prune(limits_of(config, "pump", pump.now))
    assert len(pump.ledger("id")) < 20
    sums = pump.rows(batch_entities.c.batch_id, batch_entities.c.records)
    assert sum(records for _, records in sums) == 80
    pump.put(81, value=COUNTED)
    pump.store.recounting.reopen_window("pump", at(70), pump.now)
    pump.score()
    assert as_stored(pump) == as_defined(pump)
    assert before.items() <= as_stored(pump).items()


@pytest.mark.parametrize(("rule", "is_valid"), [("3", True), ("{ records = 3, of = 5 }", True), ("0", False)])
def test_both_forms_of_the_rule_are_read(rule, is_valid):
    assert is_parsed(tomllib.loads(f"{BASE}[monitors.pump.alert]\nconsecutive = {rule}")) == is_valid
