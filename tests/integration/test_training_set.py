"""The training set: the newest normal records, without records that may not be normal."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import insert

from detector.records.card import RecordCard
from jobs.databases import writing
from jobs.reading.source import Source, keys_of
from jobs.store import NewModel
from jobs.training.training_set import TrainingSet, held_out_size, read_training_set, split_records
from schemas.config import MonitorConfig
from schemas.errors import NotEnoughRecords
from schemas.keys import key_label, load_label
from schemas.tables import anomalies, batches, incidents

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PUMP = "o'hara; DROP TABLE models --\"é"
RECORDS = 240  # a minute apart, of two pumps in turn


@pytest.fixture
def plant(engine, store, now):
    return Plant(engine, store, now)


class Plant:
    """A watched table, and the labels and incidents of its records."""

    def __init__(self, engine, store, now):
        self.store, self.engine, self.sources = store, engine, []
        ids = np.arange(RECORDS)
        times = pd.date_range(START, periods=RECORDS, freq="min", tz="UTC")
        columns = {"read_at": times, "pump": np.where(ids % 2 == 0, PUMP, "b"), "flow": ids / 7.0}
        pd.DataFrame(columns, index=pd.Index(ids, name="id")).to_sql("readings", engine)
        self.model = store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
        with writing(engine) as connection:
            row = {"monitor": "pump", "after_key": "", "upto_key": "[9]", "state": "done", "planned_at": now}
            self.batch = connection.execute(insert(batches).values(row).returning(batches.c.id)).scalar_one()

    def read(self, at=START + RECORDS * MINUTE, **settings):
        given = {"table": "readings", "key": "id", "time": "read_at", "entity": "pump", "numeric": ["flow"]}
        source = Source("pump", MonitorConfig(**given | settings), self.engine)
        training_set = read_training_set(source, self.store.feedback.read("pump"), at)
        source.close()
        return training_set.records["id"].tolist(), dict(training_set.left_out)

    def flag(self, *keys, label="open", incident=None, labelled=None, superseded=None, model=None):
        same = {"anomaly_score": 9.0, "p_value": 0.01, "severity": 50.0, "threshold": 4.0, "attribution": []}
        where = {"monitor": "pump", "model_id": model or self.model, "batch_id": self.batch, "flagged_at": START}
        what = {"label": label, "labelled_at": labelled, "incident_id": incident, "superseded_at": superseded}
        with writing(self.engine) as connection:
            connection.execute(insert(anomalies), [{"record_key": str(key), **same, **where, **what} for key in keys])

    def incident(self, first, last, entity=PUMP, state="open"):
        times = {"start_time": START + first * MINUTE, "end_time": START + last * MINUTE}
        same = {"peak_time": START, "opened_at": START, "updated_at": START, "causes": [], "records": 2}
        row = {"monitor": "pump", "entity": entity, "state": state, "peak_score": 9.0, "peak_severity": 50.0}
        with writing(self.engine) as connection:
            statement = insert(incidents).values(row | times | same).returning(incidents.c.id)
            return connection.execute(statement).scalar_one()


def missing(ids):
    return sorted(set(range(RECORDS)) - set(ids))


def test_confirmed_anomalies_stay_out_and_false_alarms_stay_in(plant):
    plant.flag(10, 11, label="confirmed")
    plant.flag(20, label="known", incident=plant.incident(20, 20, state="ended"))
    plant.flag(30, label="false_positive")
    plant.flag(40)
    ids, left_out = plant.read()
    assert missing(ids) == [10, 11]
    assert left_out == {"labelled as an anomaly": 2}


def test_the_label_given_last_counts_whichever_model_flagged_the_record(plant, now):
    newer = plant.store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
    plant.flag(10, label="confirmed", labelled=START, superseded=START)
    plant.flag(10, label="false_positive", labelled=START + MINUTE, model=newer)
    plant.flag(11, label="confirmed", labelled=START + MINUTE, superseded=START)
    plant.flag(11, label="false_positive", labelled=START, model=newer)
    plant.flag(12, label="confirmed", labelled=START, superseded=START)
    plant.flag(12, label="open", labelled=START + MINUTE, model=newer)
    assert missing(plant.read()[0]) == [11]


def test_an_open_incident_stays_out_by_entity_and_span(plant):
    plant.flag(10, 14, incident=plant.incident(10, 14))
    ids, left_out = plant.read()
    assert missing(ids) == [10, 12, 14]
    assert left_out == {"in an incident": 3}


@pytest.mark.parametrize(
    ("state", "label", "stays_out"),
    [
        ("open", "open", True),
        ("open", "false_positive", False),
        ("ended", "open", False),
        ("ended", "confirmed", True),
        ("merged", "confirmed", False),
        ("withdrawn", "open", False),
    ],
)
def test_an_incident_stays_out_if_it_is_open_or_real(plant, state, label, stays_out):
    plant.flag(10, label=label, incident=plant.incident(10, 14, state=state))
    assert (14 in missing(plant.read()[0])) == stays_out


@pytest.mark.parametrize(
    ("policy", "label", "stays_out"),
    [
        ("labelled", "open", True),
        ("labelled", "false_positive", False),
        ("labelled", "known", False),
        ("never", "known", True),
        ("all", "open", False),
    ],
)
def test_the_flagged_records_of_an_ended_incident_are_learned_by_policy_and_label(plant, policy, label, stays_out):
    plant.flag(10, 14, label=label, incident=plant.incident(10, 14, state="ended"))
    ids, left_out = plant.read(retrain={"learn_incidents": policy})
    assert missing(ids) == ([10, 14] if stays_out else [])
    assert left_out == ({"in an incident that nobody labelled as normal": 2} if stays_out else {})


def test_without_a_time_the_flagged_records_of_an_incident_stay_out(plant):
    plant.flag(10, 14, incident=plant.incident(10, 14, entity=None))
    assert missing(plant.read(time=None, entity=None)[0]) == [10, 14]


def test_an_incident_without_entity_is_about_records_without_one(plant):
    plant.flag(10, incident=plant.incident(10, 14, entity=None))
    assert missing(plant.read()[0]) == [10]
    assert missing(plant.read(entity=None)[0]) == [10, 11, 12, 13, 14]


def test_maintenance_windows_stay_out(plant):
    once = {"start": START + 20 * MINUTE, "end": START + 24 * MINUTE, "entity": PUMP}
    hourly = {"cron": "30 1 * * *", "duration": "3m"}
    ids, left_out = plant.read(maintenance=[once, hourly])
    assert missing(ids) == [20, 22, 90, 91, 92]
    assert left_out == {"in a maintenance window": 5}


def test_history_is_a_window_that_ends_with_the_newest_record(plant):
    ids, left_out = plant.read(retrain={"history": "1h"})
    assert ids == list(range(RECORDS - 61, RECORDS))
    assert left_out == {"older than retrain.history": RECORDS - 61}
    assert plant.read(retrain={"history": "1h"}, at=START + 10**6 * MINUTE)[0] == ids


def test_a_record_from_the_future_does_not_move_the_window(plant):
    with writing(plant.engine) as connection:
        connection.exec_driver_sql("UPDATE readings SET read_at = '2099-01-01 00:00:00+00:00' WHERE id = 3")
    ids, _ = plant.read(retrain={"history": "1h"})
    assert ids == [3, *range(RECORDS - 60, RECORDS)]


def test_a_record_is_counted_for_one_reason(plant):
    plant.flag(10, label="confirmed", incident=plant.incident(10, 14))
    window = {"start": START, "end": START + 15 * MINUTE}
    _, left_out = plant.read(maintenance=[window])
    assert left_out == {"labelled as an anomaly": 1, "in an incident": 2, "in a maintenance window": 12}


def test_other_monitors_do_not_count(plant):
    plant.store.requests.add("other", "x", START)
    plant.flag(10, label="confirmed", incident=plant.incident(10, 14))
    assert plant.store.feedback.read("other").keys("confirmed") == []
    assert plant.store.feedback.read("other").kept_out == ()


def cut(n, unseen, **settings):
    times = pd.date_range(START, periods=n, freq="min", tz="UTC")
    records = pd.DataFrame({"id": np.arange(n), "read_at": times, "flow": np.arange(n) / 7.0})
    monitor = MonitorConfig(table="t", key="id", time="read_at", numeric="flow", **settings)
    keys = None if unseen is None else frozenset((i,) for i in unseen)
    shuffled = records.sample(frac=1, random_state=0)
    return split_records(TrainingSet(shuffled, {"in an incident": 5}), monitor, keys)


def test_the_newest_tenth_is_held_out_then_calibration_then_training():
    parts = cut(1000, unseen=range(950, 1000))
    assert parts.held_out["id"].tolist() == list(range(950, 1000))
    assert parts.seen_by_champion == 0
    assert parts.normal.calibration["id"].tolist() == list(range(720, 900))
    assert sorted(parts.normal.training["id"]) == list(range(720))


def test_if_the_champion_has_seen_too_many_all_records_count_and_a_note_is_added():
    parts = cut(1000, unseen=range(960, 1000))
    assert len(parts.held_out) == 100
    assert parts.seen_by_champion == 60


def test_a_first_model_spares_nothing():
    parts = cut(1000, unseen=None)
    assert len(parts.held_out) == 0
    assert len(parts.normal.training) + len(parts.normal.calibration) == 1000


def test_a_small_table_holds_nothing_out_and_a_smaller_one_is_an_error_with_the_reasons():
    assert len(cut(150, unseen=range(150), false_positive_rate=0.05).held_out) == 0
    assert held_out_size(300, 1 / 120) == 50
    assert held_out_size(300, 1 / 140) == 0  # the rest could not resolve the rate
    with pytest.raises(NotEnoughRecords, match=r"Found 10 .* in addition to the records left out \(5 in an incident\)"):
        cut(10, unseen=None)


@pytest.mark.parametrize(
    "key",
    [
        (2**53 + 1,),
        ("a\"b'; --",),
        (UUID(int=7),),
        (date(2026, 1, 31), "b", 2**60),
        (datetime(2026, 1, 31, 1, tzinfo=UTC),),
        (datetime(2026, 1, 31, 1),),  # noqa: DTZ001 - a column without a zone has such keys
    ],
)
def test_a_label_leads_back_to_its_key(key):
    assert load_label(key_label(key), like=key) == key


def test_records_are_read_by_their_keys(engine, plant):
    rows = pd.DataFrame({"site": ["a", "b'; --", "b"], "n": [2**60 + 1, 2, 3], "flow": [1.0, 2.0, 3.0]})
    rows.to_sql("many", engine, index=False)
    source = Source("pump", MonitorConfig(table="many", key=["site", "n"], numeric="flow"), engine)
    records = source.read_keys([("a", 2**60 + 1), ("b'; --", 2), ("gone", 1)])
    assert keys_of(records, ["site", "n"]) == [("a", 2**60 + 1), ("b'; --", 2)]
    assert source.read_keys([]).empty
    assert len(source.read_keys([("b", 3)] * 250)) == 3  # asked in three parts
    source.close()
