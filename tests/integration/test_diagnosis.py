"""A diagnosis names why nothing is flagged, or everything, and what to change."""

from datetime import timedelta

import pytest

from detector.core.about import About, UnusualRecords
from jobs.diagnosis import Case, alerts, diagnose, flags, model, progress, schedules
from jobs.ranking import top_records
from schemas.config import Config
from schemas.errors import RateTooSmall
from tests.watched_table import MODEL, START, MonitoredTable, RuleScorer

CHANNELS = {"channels": {"ops": "json://localhost:1/x"}}


class RatedScorer(RuleScorer):
    """A rule with calibration scores 0.01, 0.02, ..., 1."""

    has_rate = True

    def __init__(self, value="flow", threshold=3.0, calibration_records=100, highest_severity=100.0):
        super().__init__(value, threshold)
        self.calibration_records, self.highest_severity = calibration_records, highest_severity

    def at_rate(self, rate):
        if rate < 1 / (self.calibration_records + 1):
            raise RateTooSmall(rate, self.calibration_records)
        return self

    def thresholds_of(self, _entities, scores, _trackers=None):
        return scores * 0 + self.threshold

    def can_score(self, _entity):
        return True


class Ward(MonitoredTable):
    """A watched table whose monitor is diagnosed."""

    opened = ()

    def source(self, monitor="pump"):
        self.opened = (*self.opened, super().source(monitor))
        return self.opened[-1]

    def case(self, scorer=None, **settings):
        """Return the case with other settings, and a rule in place of a trained model."""
        self.settings |= settings
        source = self.source()
        case = Case(Config(monitors={"pump": source.monitor}, alerts=CHANNELS), source, self.store, self.now)
        case.scorer = scorer or RatedScorer()
        return case


@pytest.fixture
def ward(store):
    ward = Ward(store)
    yield ward
    for source in ward.opened:
        source.close()


def found(diagnosis, case):
    return [(problem.message, problem.advice) for problem in diagnosis(case)]


def test_a_monitor_whose_records_are_scored_and_flagged_has_no_problem(ward):
    ward.put(*range(1, 60), value=1.0)
    ward.put(60, value=9.0)
    ward.wait(hours=1)
    ward.score()
    case = ward.case(RatedScorer(calibration_records=1_000_000))
    assert [problem for run in (schedules, progress, flags, alerts) for d in run.DIAGNOSES for problem in d(case)] == []


def test_a_monitor_without_a_model_is_told_to_train(ward):
    ward.put(1, 2)
    source = ward.source("other")
    case = Case(Config(monitors={"other": source.monitor}), source, ward.store, ward.now)
    problems = diagnose(case)
    assert ("There is no model yet.", "Train one: plumbline train other") in [
        (problem.message, problem.advice) for problem in problems
    ]


def test_a_missing_index_is_no_reason_for_flags(mixer):
    source = mixer.source()
    case = Case(Config(monitors={"mixer": source.monitor}), source, mixer.store, mixer.now)
    messages = [problem.message for problem in diagnose(case)]
    assert "There is no model yet." in messages
    assert not any("No index" in message for message in messages)


def test_a_challenger_without_a_champion_is_named(ward):
    ward.put(1)
    challenger = ward.store.models.add("other", MODEL, ward.now, promote=False)
    source = ward.source("other")
    case = Case(Config(monitors={"other": source.monitor}), source, ward.store, ward.now)
    ((message, advice),) = found(model.no_champion, case)
    assert message == "No model is the champion; 1 model could be."
    assert advice == f"Promote one: plumbline models promote {challenger}"


def test_an_unreachable_table_is_a_problem_and_ends_the_diagnosis_of_it(ward):
    ward.settings["table"] = "readinsg"
    messages = [problem.message for problem in diagnose(ward.case())]
    assert any("readinsg" in message for message in messages)


def test_a_schedule_that_never_fires_and_a_monitor_that_nothing_serves(ward):
    ward.put(1)
    case = ward.case(score_every="0 0 31 2 *")
    assert any("never falls due" in message for message, _ in found(schedules.wrong_schedules, case))
    assert found(schedules.not_served, case)[0][0] == "Nothing has been scored yet."
    ward.score()
    ward.wait(hours=3)
    ((message, _),) = found(schedules.not_served, ward.case(score_every="1h"))
    assert "its schedule is '1h', and it was last scored 3 h ago" in message


def test_new_records_that_wait(ward):
    ward.put(1)
    ward.score()
    ward.put(2)
    ((message, advice),) = found(progress.unscored_records, ward.case())
    assert (message, advice) == ("New records have not been scored.", "Score them: plumbline score pump")


def test_records_that_settle_for_ever_and_times_in_the_future(ward):
    ward.put(1, time=START + timedelta(days=30))
    case = ward.case(settle="2h")
    assert "younger than `settle` (2 h)" in found(progress.settling_records, case)[0][0]
    assert "which lies in the future" in found(progress.future_times, case)[0][0]
    assert found(progress.silent_source, case) == []


def test_a_source_that_stopped_sending(ward):
    ward.put(1)
    ward.score()
    ward.wait(days=9)
    assert "is 9 d old: its source stopped sending" in found(progress.silent_source, ward.case())[0][0]


def test_records_that_sort_before_the_last_key_scored(ward):
    ward.put(10, 11)
    ward.score()
    ward.put(3, 4, 5)
    ((message, advice),) = found(progress.records_before_the_watermark, ward.case())
    assert message.startswith("3 records sort before the last key scored (11)")
    assert "Choose a key that grows" in advice


def test_records_that_came_late(ward):
    ward.put(10, 20, 30)
    ward.score()
    ward.put(11, 12)
    ward.wait(hours=1)
    ward.score()
    ((message, advice),) = found(progress.late_records, ward.case())
    assert message.startswith("2 of 5 scored records came late")
    assert "Set settle" in advice


def test_a_feature_that_is_mostly_null(ward):
    ward.put(*range(1, 20), value=None)
    ward.put(*range(20, 31))
    ((message, _),) = found(progress.mostly_null_features, ward.case())
    assert message == "Column 'flow' is null in 63.33% of the newest 30 records."


def test_too_few_records_for_the_rate_and_far_too_many_flags(ward):
    ward.put(*range(1, 101))
    ward.score()
    case = ward.case(false_positive_rate=0.01)
    ((message, advice),) = found(flags.too_few_records, case)
    assert "None of 100 scored records is flagged" in message
    assert "plumbline top pump" in advice
    ((message, _),) = found(flags.far_too_many, ward.case(RatedScorer(threshold=0.5)))
    assert "100 of the newest 100 records are flagged (100.00%)" in message
    assert "The main causes are 'flow'." in message


def test_a_rate_that_one_calibration_record_decides(ward):
    ward.put(1)
    ((message, advice),) = found(model.coarse_rate, ward.case(RatedScorer(calibration_records=150)))
    assert "the highest calibration score is the threshold" in message
    assert "199 or more calibrate" in advice
    assert found(model.coarse_rate, ward.case(RatedScorer(calibration_records=200))) == []


def test_an_alert_limit_that_no_score_reaches(ward):
    limits = {"channels": ["ops"], "severity": 50, "escalate_severity": 30}
    assert found(alerts.unreachable_severity, ward.case(RatedScorer(), alert=limits)) == []
    case = ward.case(RatedScorer(highest_severity=35.8), alert=limits)
    ((message, advice),) = found(alerts.unreachable_severity, case)
    assert "alert.severity = 50 is never reached" in message
    assert "the highest severity of this model is 35.8" in message
    assert "at most 35 under [monitors.pump.alert]" in advice
    ward.store.tunings.put("pump", {"alert": {"severity": 50}}, ward.now, "user ada")
    assert "at most 35 by plumbline tune set pump" in found(alerts.unreachable_severity, case)[0][1]


def test_alerts_that_are_too_old_and_maintenance_without_end(ward):
    window = {"cron": "0 * * * *", "duration": "1h"}
    case = ward.case(alert={"channels": ["ops"], "newest": "1h"}, settle="2h", maintenance=[window])
    assert "alert.newest (60 min) are summed up in one message" in found(alerts.outdated_alerts, case)[0][0]
    assert "cover the whole week" in found(alerts.permanent_maintenance, case)[0][0]


def test_records_that_come_too_far_apart_for_a_row(ward):
    rule = {"channels": ["ops"], "consecutive": 3}
    for key in range(12):
        ward.put(key, time=START + timedelta(hours=key))
    ward.now = START + timedelta(hours=12)
    ward.score()
    assert found(alerts.unreachable_row, ward.case(alert=rule, incident_gap="1h")) == []
    ((message, advice),) = found(alerts.unreachable_row, ward.case(alert=rule, incident_gap="59m"))
    assert "3 flagged records at most incident_gap (59 min) apart, and the usual pause" in message
    assert "Raise incident_gap" in advice


def test_discoveries_that_a_batch_is_too_large_for(ward):
    case = ward.case(RatedScorer(calibration_records=99), flag="fdr", batch_size=5_000, false_discovery_rate=0.1)
    ((message, _),) = found(flags.impossible_discoveries, case)
    assert "nothing is flagged unless 500 of them" in message


class SkewedScorer(RatedScorer):
    """A rule whose threshold at a small rate lies among outliers of the calibration scores."""

    def at_rate(self, rate):
        return SkewedScorer(threshold=1.0 if rate >= 0.05 else 9.0)


def test_outliers_among_the_calibration_records_that_raise_the_threshold(ward):
    ward.put(*range(1, 10))
    case = ward.case(SkewedScorer(threshold=9.0), false_positive_rate=0.01)
    ((message, advice),) = found(model.outliers_among_calibration_records, case)
    assert message.startswith("The threshold is 9 times the score that 5.00% of the calibration records exceed")
    assert "trim under [monitors.pump.model]" in advice
    assert found(model.outliers_among_calibration_records, ward.case(SkewedScorer(threshold=2.0))) == []


@pytest.mark.parametrize(("share", "problems"), [(0.0009, 0), (0.001, 1)])
def test_a_heavy_tail_without_records_unlike_the_others_is_no_problem(ward, share, problems):
    ward.put(*range(1, 10))
    scorer = SkewedScorer(threshold=9.0)
    scorer.about = About(unusual=UnusualRecords(share))
    case = ward.case(scorer, false_positive_rate=0.01)
    assert len(found(model.outliers_among_calibration_records, case)) == problems


def test_a_series_model_with_other_entities_and_features_than_the_table(mixer):
    mixer.train(normal="id <= 1200 AND machine = 'a'", series={"models": "per_entity"})
    source = mixer.source(numeric=["torque", "speed"], false_positive_rate=0.001)
    case = Case(Config(monitors={"mixer": source.monitor}), source, mixer.store, mixer.now)
    (other,) = found(model.other_features, case)
    assert "The champion was trained with load, unlike config.toml" in other[0]
    assert "Nothing of 'a' can be flagged" in found(model.silent_entities, case)[0][0]


def test_labelled_anomalies_among_the_normal_records(mixer):
    source = mixer.source(normal=None)
    case = Case(Config(monitors={"mixer": source.monitor}), source, mixer.store, mixer.now)
    ((message, advice),) = found(model.labelled_anomalies_among_normal_records, case)
    assert "38 of the newest 1,600 normal records with a label are anomalies" in message
    assert 'normal = "is_fault = 0"' in advice


def test_the_most_anomalous_records_of_series_are_the_same_from_stored_scores_and_from_the_table(mixer):
    fixed = {"threshold": "conformal"}  # the scores of a tracked one are not enough to rank by
    report = mixer.train(**fixed)
    assert [record.excess for record in report.top] == sorted((record.excess for record in report.top), reverse=True)
    assert {int(record.record_key) for record in report.top} <= set(range(900, 1201))
    scored_now = top_records(mixer.source(store_scores="anomalies", **fixed), mixer.store, 20)
    mixer.score(**fixed)
    stored = top_records(mixer.source(**fixed), mixer.store, 20)
    assert (scored_now.is_stored, stored.is_stored, stored.records) == (False, True, 1600)
    assert [vars(record) for record in stored.top] == [vars(record) for record in scored_now.top]
