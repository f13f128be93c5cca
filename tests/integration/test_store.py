"""The store: models change state in one step, batches are finished once, and queries page."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select, text

from detector.records.card import RecordCard
from jobs.app import open_store
from jobs.databases import reading
from jobs.store import Anomaly, AnomalyQuery, BatchResult, HourCount, NewModel
from schemas.errors import LostLease, StoreError, UsageError
from schemas.frames import Cause, Explanation
from schemas.keys import KeyRange
from schemas.tables import anomalies, batch_hours, batches, scores
from tests.mariadb_server import on_mariadb_too

LEASE = timedelta(minutes=5)
MODEL = NewModel(b"\x00weights", "ab" * 32, {"format": 1}, RecordCard(epochs=5))
HOUR = datetime(2026, 3, 1, 12, tzinfo=UTC)


def anomaly(key, score=9.0, value=1.5, entity="pump-1"):
    causes = (Cause("flow", 7.0, -2.0, value, np.float32(0.5)), Cause("mode", 2.0, 1.0, "high", None))
    vae = {"reconstruction_error": 2.5, "elbo": -1.5}
    return Anomaly(str(key), key, HOUR, entity, score, 0.01, 80.0, 4.0, Explanation(causes), **vae)


def all_scores(keys):
    return pd.DataFrame(
        {
            "record_key": [str(key) for key in keys],
            "record_key_int": pd.array(keys, dtype="Int64"),
            "record_time": pd.Series([HOUR, pd.NaT], dtype="datetime64[us, UTC]"),
            "entity": pd.Series(["pump-1", None], dtype="str"),
            "anomaly_score": [9.0, 1.0],
            "p_value": [0.01, 0.5],
            "is_anomaly": [True, False],
            "reconstruction_error": [2.5, None],
            "elbo": pd.Series([-1.5, None], dtype="object"),
        }
    )


@pytest.fixture
def model_id(store, now):
    return store.models.add("pump", MODEL, now, promote=True)


@pytest.fixture
def batch(store, model_id, now):
    store.ledger.plan("pump", KeyRange(None, (2**53 + 1,)), now)
    return store.ledger.claim("pump", model_id, now, LEASE)


def rows(store, *columns):
    with reading(store.engine) as connection:
        return [tuple(row) for row in connection.execute(select(*columns))]


def test_a_promoted_model_retires_the_champion(store, model_id, now):
    challenger = store.models.add("pump", MODEL, now, promote=False)
    assert store.models.champion("pump").model_id == model_id
    store.models.promote(challenger, now + LEASE)
    assert [(model.id, model.state) for model in store.models.all("pump")] == [
        (challenger, "champion"),
        (model_id, "retired"),
    ]
    assert store.models.get(model_id).retired_at == store.models.champion("pump").promoted_at == now + LEASE


def test_models_keep_their_bytes_and_documents(store, model_id, now):
    assert store.models.blob(model_id) == MODEL.blob
    stored = store.models.get(model_id)
    assert (stored.sha256, stored.manifest, stored.card) == (MODEL.sha256, MODEL.manifest, MODEL.card)
    assert store.models.champion("pump").created_at == now


def test_monitors_have_a_champion_each(store, model_id, now):
    store.models.add("boiler", MODEL, now, promote=True)
    assert store.models.champion("pump").model_id == model_id
    assert store.models.champion("fan") is None
    assert len(store.models.all()) == 2


def test_rolling_back_goes_a_step_further_each_time(store, model_id, now):
    second, third = (store.models.add("pump", MODEL, now + n * LEASE, promote=True) for n in (1, 2))
    assert store.models.roll_back("pump", now + 3 * LEASE) == second
    assert store.models.champion("pump").model_id == second
    assert store.models.get(third).state == "retired"
    assert store.models.roll_back("pump", now + 4 * LEASE) == model_id
    with pytest.raises(StoreError, match="no earlier champion"):
        store.models.roll_back("pump", now + 5 * LEASE)
    assert store.models.champion("pump").model_id == model_id


def test_rolling_back_does_not_lead_to_a_model_that_was_rolled_back(store, model_id, now):
    store.models.add("pump", MODEL, now + LEASE, promote=True)
    assert store.models.roll_back("pump", now + 2 * LEASE) == model_id
    store.models.add("pump", MODEL, now + 3 * LEASE, promote=True)
    assert store.models.roll_back("pump", now + 4 * LEASE) == model_id
    with pytest.raises(StoreError, match="no earlier champion"):
        store.models.roll_back("pump", now + 5 * LEASE)


@pytest.mark.parametrize(("part", "method"), [("models", "get"), ("models", "blob"), ("anomalies", "get")])
def test_the_error_of_a_missing_row_names_it(store, part, method):
    with pytest.raises(UsageError, match=r"There is no .* 7"):
        getattr(getattr(store, part), method)(7)


@on_mariadb_too
def test_a_range_is_planned_once(store, now):
    assert store.ledger.watermark("pump") is None
    assert store.ledger.plan("pump", KeyRange(None, (5,)), now)
    assert not store.ledger.plan("pump", KeyRange(None, (6,)), now)
    assert store.ledger.plan("pump", KeyRange((5,), (9,)), now)
    assert store.ledger.plan("boiler", KeyRange(None, (1,)), now)
    assert store.ledger.watermark("pump") == (9,)


@on_mariadb_too
def test_batches_are_claimed_oldest_first_and_once(store, model_id, now):
    for after, upto in ((None, (5,)), ((5,), (9,))):
        store.ledger.plan("pump", KeyRange(after, upto), now)
    claimed = [store.ledger.claim("pump", model_id, now, LEASE) for _ in range(3)]
    assert [batch and batch.key_range for batch in claimed] == [KeyRange(None, (5,)), KeyRange((5,), (9,)), None]


@on_mariadb_too
def test_workers_at_the_same_time_claim_different_batches(store, model_id, now):
    for number in range(8):
        store.ledger.plan("pump", KeyRange((number,), (number + 1,)), now)
    with ThreadPoolExecutor(8) as pool:
        claimed = list(
            pool.map(lambda _: open_store(store.engine).ledger.claim("pump", model_id, now, LEASE), range(8))
        )
    assert len({batch.id for batch in claimed}) == 8


def test_an_expired_lease_is_taken_over_and_the_first_worker_writes_nothing(store, batch, now):
    late = now + LEASE + timedelta(seconds=1)
    second = store.ledger.claim("pump", batch.model_id, late, LEASE)
    assert (second.id, second.attempts) == (batch.id, 2)
    result = BatchResult(2, (anomaly(1),), (HourCount(HOUR, 2, 1),), all_scores([1, 2]))
    with pytest.raises(LostLease):
        store.ledger.finish(batch, result, late)
    with pytest.raises(LostLease):
        store.ledger.renew(batch, late, LEASE)
    with pytest.raises(LostLease):
        store.ledger.release(batch)
    assert [rows(store, table) for table in (anomalies, batch_hours, scores)] == [[], [], []]
    store.ledger.finish(second, result, late)
    with pytest.raises(LostLease):
        store.ledger.finish(second, result, late)
    assert len(rows(store, anomalies)) == 1


def test_a_renewed_lease_is_not_taken_over(store, batch, now):
    store.ledger.renew(batch, now + LEASE, LEASE)
    assert store.ledger.claim("pump", batch.model_id, now + 1.5 * LEASE, LEASE) is None


def test_a_released_batch_is_claimed_again(store, batch, now):
    store.ledger.release(batch, "the table is gone")
    assert rows(store, batches.c.state, batches.c.error) == [("pending", "the table is gone")]
    assert store.ledger.claim("pump", batch.model_id, now, LEASE).attempts == 2


def test_a_finished_batch_stores_its_whole_result(store, batch, now):
    result = BatchResult(2, (anomaly(2**53 + 1),), (HourCount(HOUR, 2, 1),), all_scores([2**53 + 1, 2**53 + 2]))
    store.ledger.finish(batch, result, now)
    (stored,) = store.anomalies.page(AnomalyQuery())
    assert (stored.record_key, stored.top_feature, stored.label) == (str(2**53 + 1), "flow", "open")
    assert (stored.batch_id, stored.model_id, stored.flagged_at) == (batch.id, batch.model_id, now)
    assert stored.attribution[0] == {"feature": "flow", "share": 7.0, "deviation": -2.0, "value": 1.5, "expected": 0.5}
    assert rows(store, batches.c.state, batches.c.records, batches.c.anomalies) == [("done", 2, 1)]
    assert rows(store, batch_hours.c.hour, batch_hours.c.records, batch_hours.c.anomalies) == [(HOUR, 2, 1)]
    c = scores.c
    assert (stored.reconstruction_error, stored.elbo) == (2.5, -1.5)
    assert sorted(
        rows(store, c.record_key_int, c.record_time, c.entity, c.is_anomaly, c.reconstruction_error, c.elbo)
    ) == [
        (2**53 + 1, HOUR, "pump-1", True, 2.5, -1.5),
        (2**53 + 2, None, None, False, None, None),
    ]


@on_mariadb_too
def test_a_result_that_fails_half_way_leaves_nothing(store, batch, now):
    result = BatchResult(2, (anomaly(1), anomaly(1)), (HourCount(HOUR, 2, 1),))
    with pytest.raises(StoreError, match=r"(?i)unique|duplicate entry"):
        store.ledger.finish(batch, result, now)
    assert rows(store, anomalies) == []
    assert rows(store, batches.c.state) == [("running",)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), None, pd.NaT])
def test_attribution_is_strict_json_that_sql_can_query(store, batch, now, value):
    store.ledger.finish(batch, BatchResult(1, (anomaly(1, value=value),)), now)
    is_sqlite = store.engine.dialect.name == "sqlite"
    part = "json_extract(attribution, '$[0].deviation')" if is_sqlite else "attribution->0->>'deviation'"
    with reading(store.engine) as connection:
        assert float(connection.scalar(text(f"SELECT {part} FROM anomalies"))) == -2.0
        whole = connection.scalar(text("SELECT CAST(attribution AS TEXT) FROM anomalies"))
    assert json.loads(whole, parse_constant=pytest.fail)[0]["value"] is None


@pytest.fixture
def five(store, batch, now):
    flagged = tuple(anomaly(key, entity=f"pump-{key % 2}") for key in range(5))
    store.ledger.finish(batch, BatchResult(9, flagged), now)


def keys(flagged):
    return [int(row.record_key) for row in flagged]


def test_anomalies_are_paged_newest_first(store, five):
    first = store.anomalies.page(AnomalyQuery(limit=2))
    second = store.anomalies.page(AnomalyQuery(limit=2, before_id=first[-1].id))
    assert (keys(first), keys(second)) == ([4, 3], [2, 1])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (AnomalyQuery(entity="pump-1"), [3, 1]),
        (AnomalyQuery(monitor="boiler"), []),
        (AnomalyQuery(label="confirmed"), []),
        (AnomalyQuery(since=HOUR, limit=1), [4]),
        (AnomalyQuery(since=HOUR + LEASE), []),
        (AnomalyQuery(until=HOUR), []),
        (AnomalyQuery(monitor="pump", until=HOUR + LEASE), [4, 3, 2, 1, 0]),
    ],
)
def test_anomalies_are_filtered(store, five, query, expected):
    assert keys(store.anomalies.page(query)) == expected


def test_a_label_is_kept_with_its_time(store, five, now):
    target = store.anomalies.page(AnomalyQuery())[0].id
    store.anomalies.label(target, "confirmed", now)
    assert (store.anomalies.get(target).label, store.anomalies.get(target).labelled_at) == ("confirmed", now)
    assert len(store.anomalies.page(AnomalyQuery(label="open"))) == 4
    with pytest.raises(UsageError, match="Use one of: open, confirmed"):
        store.anomalies.label(target, "maybe", now)
    with pytest.raises(UsageError, match="no anomaly 999"):
        store.anomalies.label(999, "open", now)


def test_the_status_of_a_monitor_counts_its_records_and_batches(store, five, batch, now):
    store.ledger.plan("pump", KeyRange((7,), (8,)), now)
    store.anomalies.label(store.anomalies.page(AnomalyQuery())[0].id, "known", now)
    for hour in range(2):
        run_id = store.runs.start("pump", "score", now + timedelta(hours=hour))
    store.runs.finish(run_id, "failed", "no table", {"records": 9}, now + timedelta(hours=2))
    status = store.runs.status("pump")
    assert (status.champion_id, status.champion_since, status.watermark) == (batch.model_id, now, (8,))
    assert (status.records, status.anomalies, status.open_anomalies) == (9, 5, 4)
    assert (status.pending_batches, status.running_batches) == (1, 0)
    (run,) = status.last_runs.values()
    assert (run.id, run.kind, run.outcome, run.message, run.counts) == (
        run_id,
        "score",
        "failed",
        "no table",
        {"records": 9},
    )


def test_the_status_of_a_new_monitor_is_empty(store):
    status = store.runs.status("pump")
    assert (status.champion_id, status.watermark, status.records, status.last_runs) == (None, None, 0, {})


def test_a_naive_time_is_refused(store):
    with pytest.raises(StoreError, match="no time zone"):
        store.runs.start("pump", "score", HOUR.replace(tzinfo=None))
