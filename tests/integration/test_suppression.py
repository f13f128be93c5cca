"""A label acts on the next batch: look-alikes of a false positive open no incident and no alert."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from detector.records.card import RecordCard
from jobs.scoring.rescoring import Window, rescore_monitor
from jobs.store import AnomalyQuery, IncidentQuery, NewModel
from jobs.store.labelled_examples import MAX_OF_INCIDENT
from schemas.frames import Cause, Explanation
from schemas.tables import alerts, anomalies, incidents
from tests.flagged_rows import MINUTE, FlaggedRows
from tests.mariadb_server import on_mariadb_too
from tests.watched_table import MonitoredTable, RuleScorer, at

C = anomalies.c


class DeviationScorer(RuleScorer):
    """A rule that names the value as the deviation of its first cause, next to one that is always the same."""

    def explain(self, records, scores, top):
        causes = [explanation.causes[0] for explanation in super().explain(records, scores, top)]
        steady = Cause("steady", share=1.0, deviation=0.5, value=1.0, expected=1.0)
        return [Explanation((replace(cause, share=1.0, deviation=cause.value), steady)) for cause in causes]


@pytest.fixture
def pump(store):
    """One record is flagged and labelled as a false positive."""
    pump = MonitoredTable(store, alert={"channels": ["ops"]}, incident_gap="2m")
    pump.models = dict.fromkeys(pump.models, DeviationScorer())
    pump.put(10, value=9.0)
    pump.score()
    label(pump, "false_positive")
    return pump


def label(pump, text, row=0):
    pump.wait(minutes=1)
    pump.store.anomalies.label(pump.rows(C.id)[row], text, pump.now)


def score(pump):
    pump.wait(minutes=1)
    pump.score()
    return dict(pump.flagged("pump", C.suppressed_by))


def open_incidents(pump):
    return sorted(incident.start_time for incident in pump.store.incidents.page(IncidentQuery("pump")))


def test_a_look_alike_is_flagged_without_incident_and_alert_and_another_pump_is_not_affected(pump):
    (labelled,) = pump.rows(C.id)
    sent = len(pump.rows(alerts.c.id))
    pump.put(20, value=9.5)
    assert score(pump) == {"10": None, "20": labelled}
    distance = 0.25 / math.hypot(5.25, 0.75)
    assert pump.rows(C.suppressed_distance, where=C.record_key == "20") == [pytest.approx(distance)]
    assert open_incidents(pump) == [at(10)]
    assert len(pump.rows(alerts.c.id)) == sent
    pump.put(30, value=9.5, entity="pump-2")
    pump.put(40, value=40.0)
    assert score(pump) == {"10": None, "20": labelled, "30": None, "40": None}
    assert open_incidents(pump) == [at(10), at(30), at(40)]


def test_another_label_ends_the_suppression_and_a_rescoring_applies_it_to_earlier_records(pump):
    pump.put(20, value=9.5)
    score(pump)
    label(pump, "open")
    pump.put(30, value=9.5)
    assert score(pump)["30"] is None
    rescore(pump)
    assert set(dict(pump.flagged("pump", C.suppressed_by)).values()) == {None}
    assert open_incidents(pump) == [at(10), at(20), at(30)]
    label(pump, "false_positive")
    rescore(pump)
    (labelled,) = pump.rows(C.id, where=C.record_key == "10")
    assert dict(pump.flagged("pump", C.suppressed_by)) == {"10": None, "20": labelled, "30": labelled}
    assert open_incidents(pump) == [at(10)]
    assert pump.rows(incidents.c.state).count("withdrawn") == 2


def test_a_record_with_a_label_of_its_own_stays_in_its_incident(pump):
    pump.put(20, value=9.5)
    score(pump)
    label(pump, "confirmed", row=1)
    rescore(pump)
    assert set(dict(pump.flagged("pump", C.suppressed_by)).values()) == {None}
    pump.put(30, value=9.4)
    assert score(pump)["30"] is None  # nearer to the confirmed record
    (confirmed,) = pump.rows(C.id, where=C.record_key == "20")
    assert pump.rows(C.raised_by, where=C.record_key == "30") == [confirmed]
    assert pump.rows(C.raised_by, where=C.record_key == "20") == [None]


def test_what_resembles_a_confirmed_record_is_alerted_below_the_severity_until_the_label_changes(pump):
    label(pump, "confirmed")
    pump.settings["alert"] = {"channels": ["ops"], "severity": 100, "records": 5, "consecutive": 3}
    pump.put(20, value=9.5)
    pump.put(30, value=40.0)
    sent = len(pump.rows(alerts.c.id))
    score(pump)
    (labelled,) = pump.rows(C.id, where=C.record_key == "10")
    raised = {i.start_time: (i.raised_by, i.held_back) for i in pump.store.incidents.page(IncidentQuery("pump"))}
    assert (raised[at(20)], raised[at(30)]) == ((labelled, None), (None, "severity"))
    (body,) = pump.rows(alerts.c.body)[sent:]
    assert f"Resembles: anomaly {labelled}, labelled confirmed" in body
    label(pump, "open")
    pump.put(50, value=9.5)
    score(pump)
    assert len(pump.rows(alerts.c.id)) == sent + 1


def test_an_incident_does_not_name_a_confirmed_row_of_its_own(pump):
    label(pump, "confirmed")
    pump.put(11, value=9.5)
    pump.put(30, value=9.5)
    score(pump)
    (labelled,) = pump.rows(C.id, where=C.record_key == "10")
    assert pump.rows(C.raised_by, where=C.record_key == "11") == [labelled]
    raised = {i.start_time: i.raised_by for i in pump.store.incidents.page(IncidentQuery("pump"))}
    assert raised == {at(10): None, at(30): labelled}


def test_a_radius_of_zero_switches_suppression_off(pump):
    pump.settings["alert"] = {"look_alike_radius": 0}
    pump.put(20, value=9.0)
    assert score(pump) == {"10": None, "20": None}


def test_an_incident_of_series_that_resembles_a_false_alarm_is_held_back_until_it_differs(store, now):
    store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
    rows = FlaggedRows(store, "pump", now)
    rows.use(suppressed_by=lambda _summary, read: 7 if len(list(read())) < 3 else None)
    rows.add(0, 1, score=9.0)
    (incident,) = rows.incidents()
    assert (incident.held_back, incident.suppressed_by, rows.alerted()) == ("label", 7, [])
    rows.add(2)
    (incident,) = rows.incidents()
    assert (incident.held_back, incident.suppressed_by) == (None, None)
    assert [reason for _, reason, _ in rows.alerted()] == ["opened"]


def test_a_larger_deviation_counts_however_late_in_a_long_incident_of_series(store, now):
    store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
    rows = FlaggedRows(store, "pump", now)
    rows.use(suppressed_by=lambda _summary, read: 7 if all(causes[0]["value"] == 9.0 for causes in read()) else None)
    rows.add(*range(1_000), score=9.0)
    (incident,) = rows.incidents()
    assert (incident.held_back, incident.suppressed_by) == ("label", 7)
    rows.add(1_000, score=90.0)
    (incident,) = rows.incidents()
    assert (incident.held_back, incident.suppressed_by) == (None, None)


@on_mariadb_too
def test_a_long_incident_leaves_room_for_the_labels_before_it(store, now):
    store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
    rows = FlaggedRows(store, "pump", now)
    rows.add(0, 1)
    rows.add(*range(100, 1_100))
    rows.add(1_100, score=99.0)
    short, long = sorted(incident.id for incident in rows.incidents())
    store.incidents.label(short, "confirmed", now)
    store.incidents.label(long, "false_positive", now + MINUTE)
    examples = store.labelled_examples.read("pump")
    counts = Counter((example.incident_id, example.label) for example in examples)
    assert counts == {(long, "false_positive"): MAX_OF_INCIDENT, (short, "confirmed"): 2}
    assert any(example.attribution[0]["value"] == 99.0 for example in examples)
    ids = [example.anomaly_id for example in examples if example.incident_id == long]
    assert ids == sorted(ids)


def test_nobody_is_reminded_of_an_open_incident_of_series_that_resembles_a_false_alarm(store):
    alert = {"channels": ["ops"], "on": ["open", "reminder"], "remind_every": "10m"}
    pump = MonitoredTable(store, alert=alert, incident_gap="2h", series={})
    pump.models = dict.fromkeys(pump.models, DeviationScorer())
    for minute in (10, 24 * 60 + 10):
        pump.put(minute, minute + 1, value=9.0)
        pump.now = at(minute + 2)
        pump.score()
    for row in (0, 1):
        label(pump, "false_positive", row)
    pump.wait(minutes=20)
    pump.score()
    assert pump.rows(alerts.c.reason) == ["opened", "opened"]
    for row in (0, 1):
        label(pump, "open", row)
    pump.score()
    assert pump.rows(alerts.c.reason) == ["opened", "opened", "reminder"]


def test_a_training_follows_the_present_label_of_what_an_incident_resembles(store, now):
    store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
    rows = FlaggedRows(store, "pump", now)
    rows.add(0)
    labelled = store.anomalies.page(AnomalyQuery("pump"))[0].id
    store.anomalies.label(labelled, "false_positive", now)
    rows.use(suppressed_by=lambda _summary, _read: labelled)
    rows.add(60, 61)

    def is_suppressed():
        feedback = store.feedback.read("pump")
        return [item.is_suppressed for item in (*feedback.kept_out, *feedback.ended) if len(item.records) == 2]

    assert is_suppressed() == [True]
    store.anomalies.label(labelled, "open", now)
    assert is_suppressed() == [False]
    store.anomalies.label(labelled, "false_positive", now)
    store.incidents.label(rows.incidents()[0].id, "confirmed", now)
    assert is_suppressed() == [False]


def test_the_threshold_of_an_incident_counts_only_if_the_champion_flagged_it(store, now):
    model = NewModel(b"", "", {}, RecordCard())
    store.models.add("pump", model, now, promote=True)
    rows = FlaggedRows(store, "pump", now)
    rows.add(0, 1)
    assert [item.first_threshold for item in store.feedback.read("pump").kept_out] == [4.0]
    store.models.add("pump", model, now, promote=True)
    assert [item.first_threshold for item in store.feedback.read("pump").kept_out] == [None]


def rescore(pump):
    pump.wait(minutes=1)
    source = pump.source()
    try:
        rescore_monitor(source, pump.store, pump.clock, Window(at(0), at(10_000)), load=pump.load)
    finally:
        source.close()


def test_a_look_alike_counts_as_unflagged_among_records_in_a_row(pump):
    pump.settings["alert"] = {"channels": ["ops"], "consecutive": 2}
    pump.put(20, 22, 23, value=40.0)
    pump.put(21, value=9.5)
    assert score(pump)["21"] is not None
    assert dict(pump.flagged("pump", C.in_row)) == {"10": None, "20": 1, "21": None, "22": 1, "23": 2}
