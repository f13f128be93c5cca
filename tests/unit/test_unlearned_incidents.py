"""Ended incidents that a training leaves out: by label, by what chance explains, and with a margin in series."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from jobs.store.feedback import Feedback, FlaggedIncident, FlaggedRecord, Span
from jobs.training.unlearned_incidents import MARGIN_RECORDS, is_near, shortest_cut, unlearned_incidents, unrejected
from schemas.config import MonitorConfig

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
READ = [str(key) for key in range(1_000)]  # severity 50 is that of one in a thousand


def monitor(policy="labelled", *, of_series=False):
    series = {"series": {}} if of_series else {}
    columns = {"table": "t", "key": "id", "time": "at", "entity": "pump", "numeric": ["flow"]}
    return MonitorConfig(**columns, **series, retrain={"learn_incidents": policy})


def incident(first, *severities, label="open", entity="a"):
    records = tuple(FlaggedRecord(str(first + row), severity, label) for row, severity in enumerate(severities))
    return FlaggedIncident(Span(entity, START + first * MINUTE, START + (first + len(records) - 1) * MINUTE), records)


def left_out(*incidents, **settings):
    unlearned = unlearned_incidents(Feedback({}, ended=incidents), monitor(**settings), READ)
    return [record.key for item in unlearned for record in item.records]


@pytest.mark.parametrize("of_series", [False, True])
@pytest.mark.parametrize(
    ("policy", "expected"), [("labelled", ["10", "11"]), ("never", ["10", "11", "20", "30"]), ("all", [])]
)
def test_the_policy_decides_which_incidents_are_learned(policy, expected, of_series):
    incidents = (incident(10, 90, 90), incident(20, 90, label="false_positive"), incident(30, 90, label="known"))
    assert left_out(*incidents, policy=policy, of_series=of_series) == expected


def test_of_a_table_the_least_severe_records_are_learned_as_many_as_the_rate_flags():
    assert left_out(incident(10, 60, *[40 + row for row in range(12)])) == ["10", "21", "22"]  # 10 of 1,000 at 1 %


def test_of_series_short_incidents_are_learned_whole_while_chance_explains_them():
    short, longer, severe, labelled = incident(10, 40, 41), incident(20, *[40] * 9), incident(40, 55), (60, 99, 99)
    assert left_out(longer, short, severe, of_series=True) == [*map(str, range(20, 29)), "40"]
    assert left_out(longer, incident(*labelled, label="known"), of_series=True) == [*map(str, range(20, 29))]
    assert left_out(longer, of_series=True) == []


def test_records_that_the_training_has_not_read_do_not_count():
    assert left_out(incident(5_000, 90)) == []


def test_a_model_has_to_flag_what_chance_does_not_explain_and_nobody_labelled_as_normal():
    kept = unrejected([incident(10, 40), incident(20, 90, 40), incident(30, 90, label="known")], monitor(), 1_000)
    assert [record.key for item in kept for record in item.records] == ["20", "21"]


def test_in_series_the_records_next_to_an_incident_of_the_entity_are_left_out_too():
    times = pd.date_range(START, periods=200, freq="min", tz="UTC")
    records = pd.DataFrame({"at": times.repeat(2), "pump": ["a", "b"] * 200}).sample(frac=1, random_state=0)
    near = records[is_near(records, monitor(of_series=True), [incident(100, *[90] * 5).span])]
    assert set(near["pump"]) == {"a"}
    minutes = np.sort((near["at"] - pd.Timestamp(START)) // pd.Timedelta(minutes=1))
    assert minutes.tolist() == list(range(100 - MARGIN_RECORDS, 105 + MARGIN_RECORDS))


def test_the_shortest_cut_is_the_time_between_the_records_before_and_after_it():
    times = pd.date_range(START, periods=200, freq="min", tz="UTC")
    records = pd.DataFrame({"at": times.repeat(2), "pump": ["a", "b"] * 200})
    minutes, is_a = np.arange(400) // 2, np.arange(400) % 2 == 0
    of_a, of_b = is_a & (minutes >= 50) & (minutes < 90), ~is_a & (minutes >= 100) & (minutes < 135)
    left_out = of_a | of_b | (minutes == 20) | (minutes > 190)
    assert shortest_cut(records, monitor(of_series=True), left_out) == 36 * 60
    assert shortest_cut(records, monitor(of_series=True), minutes > 190) is None
