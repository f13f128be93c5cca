"""Long incidents of series: a fault that is over is left out to its end, a level that lasts is learned."""

import pytest

from detector.series.scorer import SeriesScorer
from jobs.store.feedback import FlaggedIncident, FlaggedRecord, Span
from jobs.training.lasting_levels import without_lasting_levels
from schemas.config import MonitorConfig
from tests.machines import machine, trained

COLUMNS = {"table": "t", "key": "id", "time": "read_at", "entity": "machine", "numeric": "torque"}
MONITOR = MonitorConfig(**COLUMNS, series={}, threshold="online")
FLAGGED = range(400, 440)


@pytest.fixture(scope="module")
def scorer():
    return SeriesScorer(trained())


def followed(scorer, end, monitor=MONITOR, records=40, *, is_of_champion=True):
    """Return the last minute of an incident whose fault lasts until `end`; None if it is left away."""
    readings = machine("a", 1_500, 0)
    readings.loc[FLAGGED.start : end - 1, "speed"] += 8
    times = readings["read_at"].iloc
    flagged = [FlaggedRecord(str(row), 80.0, "open") for row in FLAGGED][:records]
    span = Span("a", times[FLAGGED.start].to_pydatetime(), times[FLAGGED.stop - 1].to_pydatetime())
    threshold = scorer.entity_threshold("a").threshold if is_of_champion else None
    incidents = [FlaggedIncident(span, flagged, first_threshold=threshold)] * 2
    kept = without_lasting_levels(incidents, readings.sample(frac=1, random_state=0), monitor, scorer)
    return (kept[0].span.end - times[0]).total_seconds() / 60 if kept else None


def test_a_fault_that_is_over_is_left_out_until_the_scores_are_back(scorer):
    assert followed(scorer, 480) >= 479
    assert followed(scorer, 480) < 1_400


def test_a_level_that_lasts_until_the_newest_record_is_learned(scorer):
    assert followed(scorer, 1_500) is None


def test_an_incident_that_another_model_flagged_lasts_until_the_scores_are_below_the_threshold_of_the_champion(scorer):
    assert followed(scorer, 480, is_of_champion=False) == followed(scorer, 480)
    assert followed(scorer, 1_500, is_of_champion=False) is None


def test_short_incidents_fixed_thresholds_and_other_policies_stay_as_they_are(scorer):
    assert followed(scorer, 1_500, records=10) == FLAGGED.stop - 1
    assert followed(scorer, 1_500, MONITOR.model_copy(update={"threshold": "conformal"})) == FLAGGED.stop - 1
    never = MONITOR.model_copy(update={"retrain": replace_policy("never")})
    assert followed(scorer, 1_500, never) == FLAGGED.stop - 1


def replace_policy(policy):
    return MONITOR.retrain.model_copy(update={"learn_incidents": policy})
