"""Forecasts: what a champion would have flagged, at the configured rate and at others."""

import numpy as np
import pandas as pd
import pytest

from detector.core.calibration import benjamini_hochberg
from jobs.evaluation import FORECAST_RATES, evaluate_monitor, forecast_monitor
from tests.series_monitor import readings

RECORDS_ALONE = {"series": None, "model": {"members": 1, "steps": 20}}


def forecast(mixer, **changes):
    return forecast_monitor(mixer.source(**changes), mixer.store)


@pytest.mark.parametrize("settings", [{"threshold": "online"}, {}, RECORDS_ALONE], ids=["online", "series", "records"])
def test_a_forecast_for_another_rate_equals_the_forecast_at_that_rate(mixer, settings):
    settings = settings | {"normal": "id <= 1000", "false_positive_rate": 0.02}
    mixer.train(**settings)
    by_rate = forecast(mixer, batch_size=90, **settings).by_rate
    assert {0.1, 0.05, 0.01} <= by_rate.keys() <= set(FORECAST_RATES)
    assert by_rate == {rate: forecast(mixer, **(settings | {"false_positive_rate": rate})).flagged for rate in by_rate}
    assert by_rate[0.1] > by_rate[0.01] > 0


def test_a_forecast_counts_by_day_and_rate_whatever_the_batch_size(mixer):
    frame = readings()
    frame["read_at"] = frame["read_at"].mask(frame["id"] == 1500)
    frame["read_at"] += pd.to_timedelta(3 * (frame["id"] > 1400), unit="D")
    mixer.fill(frame, if_exists="replace")
    mixer.train()
    whole = forecast(mixer, batch_size=1600)
    assert forecast(mixer, batch_size=70) == whole
    assert len(whole.by_day) > 1
    assert whole.flagged - 1 <= sum(whole.by_day.values()) <= whole.flagged
    assert whole.days > 3
    assert whole.alerts.incidents == whole.alerts.by_reason["opened"] > 0


def test_if_no_rate_decides_the_forecast_has_no_rates(mixer):
    settings = RECORDS_ALONE | {"flag": "fdr", "false_discovery_rate": 0.2}
    mixer.train(**settings)
    forecasted = forecast(mixer, batch_size=1600, **settings)
    assert (forecasted.decided_by, forecasted.by_rate) == ("false_discovery_rate", {})
    mixer.score(batch_size=1600, **settings)
    p_values = np.array([p_value for key, _, p_value, _ in mixer.scores() if key > 1200])
    assert forecasted.flagged == benjamini_hochberg(p_values, 0.2).sum()


def test_records_without_a_label_are_not_compared(mixer):
    frame = readings()
    frame["is_fault"] = frame["is_fault"].astype("boolean").mask(frame["id"] % 4 == 0)
    mixer.fill(frame, if_exists="replace")
    mixer.train()
    whole = evaluate_monitor(mixer.source(batch_size=1600), mixer.store).evaluation
    assert whole.records == 300
    assert evaluate_monitor(mixer.source(batch_size=70), mixer.store).evaluation == whole


WHOLE = {"normal": None}


@pytest.mark.parametrize(
    ("settings", "held_out"),
    [
        (RECORDS_ALONE | WHOLE, 320),
        (RECORDS_ALONE | WHOLE | {"holdout": "random"}, 320),
        (RECORDS_ALONE | {"normal": "is_fault = 0"}, None),
        (WHOLE, 320),
    ],
    ids=["latest", "random", "without faults", "series"],
)
def test_a_table_that_was_trained_on_as_a_whole_is_judged_by_the_records_that_were_held_out(mixer, settings, held_out):
    mixer.train(**settings)
    mixer.score(**settings)  # what was flagged since does not change what was held out
    forecasted = forecast(mixer, **settings)
    held_back = held_out or mixer.store.models.get(1).card.calibration_records
    assert forecasted.records == forecasted.held_out_records == held_back
    assert not forecasted.includes_training_records
    assert forecasted.by_rate[0.01] <= 0.03 * forecasted.records  # of one fold of those that calibrate
    report = evaluate_monitor(mixer.source(**settings), mixer.store)
    frame = readings()
    faults_left_out = int(frame["is_fault"].sum()) if held_out is None else 0
    assert (report.held_out_records, report.includes_training_records) == (held_back, False)
    later = report.evaluation.records - held_back
    assert later == 0 if held_out else 0 < later <= faults_left_out
    assert report.evaluation.anomalies > 0


def test_if_the_table_has_changed_since_all_records_are_forecast_with_a_note(mixer):
    settings = RECORDS_ALONE | WHOLE
    mixer.train(**settings)
    mixer.fill(readings().iloc[50:], if_exists="replace")
    forecasted = forecast(mixer, **settings)
    assert (forecasted.records, forecasted.held_out_records) == (1550, 0)
    assert forecasted.includes_training_records


def test_records_after_the_training_come_first(mixer):
    mixer.train(**RECORDS_ALONE)
    forecasted = forecast(mixer, **RECORDS_ALONE)
    assert (forecasted.records, forecasted.held_out_records) == (400, 0)
