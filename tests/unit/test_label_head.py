"""Labels raise the scores of records that deviate as confirmed ones do, if cross-validation shows a gain."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from detector.core.blob import digest
from detector.core.subsample import subsample_evenly
from detector.records.artifact import dump_artifact, load_artifact
from detector.records.card import RecordCard
from detector.records.fitting import DecisionRule
from detector.records.label_head import LabelHead
from detector.records.label_head_fitting import LabelledRecords, with_label_head
from detector.records.scorer import RecordScorer
from jobs.kinds.record_card import RecordCardText
from schemas.errors import ArtifactError
from schemas.frames import ANOMALY_SCORE, P_VALUE
from tests.samples import make_records

RULE = DecisionRule(rate=0.01)


def with_flow(n, by, seed):
    """Return records of the time of the calibration records, whose flow is off by some units."""
    records = make_records(1500, seed).iloc[1000 + subsample_evenly(500, n)]
    return records.assign(flow=records["flow"] + by)


@pytest.fixture(scope="module")
def calibration(normal_records):
    return normal_records.iloc[1000:]


@pytest.fixture(scope="module")
def labelled():
    """A low flow is an anomaly, a high one is harmless."""
    return LabelledRecords(with_flow(8, -12, seed=7), with_flow(4, 12, seed=8))


@pytest.fixture(scope="module")
def headed(artifact, calibration, labelled):
    return with_label_head(artifact, calibration, labelled, RULE)


def test_records_that_deviate_as_confirmed_ones_rise_over_the_threshold(artifact, headed):
    before, after = RecordScorer(artifact), RecordScorer(headed)

    def excess(scorer, by):
        return np.log(scorer.score(with_flow(50, by, seed=9))[ANOMALY_SCORE] / scorer.threshold).mean()

    assert excess(after, -9) > excess(before, -9) + 0.05
    assert excess(after, 9) < excess(before, 9)
    report = headed.about["labels"]
    assert (report["confirmed"], report["false_positives"], report["is_used"]) == (8, 4, True)
    assert report["gain"] > 0.1
    assert report["features"]["flow"] < -0.5


def test_p_values_of_raised_scores_are_those_of_normal_records(headed):
    p_values = RecordScorer(headed).score(with_flow(500, 0, seed=11))[P_VALUE]
    assert [(p_values <= rate).mean() for rate in (0.5, 0.1)] == pytest.approx([0.5, 0.1], abs=0.08)


# Measured: 21 of 24 draws of such labels are not used, and the others gain at most 2 %.
def test_labels_without_a_common_deviation_are_not_used(artifact, calibration):
    reports = []
    for seed in range(7, 31, 2):
        labelled = LabelledRecords(with_flow(12, 0, seed), with_flow(4, 0, seed + 1))
        reports.append(with_label_head(artifact, calibration, labelled, RULE).about["labels"])
    unused = [report for report in reports if not report["is_used"]]
    assert len(unused) >= 9
    assert {report["reason"] for report in unused} == {"cross-validation on them shows no gain"}
    gains = [report["gain"] for report in reports]
    assert np.median(gains) < -0.02
    assert max(gains) < 0.05


def test_outlying_calibration_records_do_not_measure_the_rise_of_others(artifact, headed, calibration, labelled):
    outlying = {"outlying": list(range(500, 515))}
    known = replace(artifact, about={**artifact.about, **outlying})
    anomalous = with_flow(15, -12, seed=12)  # like confirmed ones
    report = with_label_head(known, pd.concat([calibration, anomalous]), labelled, RULE).about["labels"]
    assert report["gain"] == headed.about["labels"]["gain"]


@pytest.mark.parametrize(
    ("confirmed", "false_positives", "change", "reason"),
    [
        (6, 3, {}, "they are fewer than 10"),
        (2, 8, {}, "fewer than 3 are confirmed"),
        (8, 4, {"score": "elbo"}, 'only score = "ensemble" can be raised by labels'),
    ],
)
def test_labels_that_cannot_be_used_change_nothing(artifact, calibration, confirmed, false_positives, change, reason):
    artifact = replace(artifact, config=artifact.config.model_copy(update=change))
    labelled = LabelledRecords(with_flow(confirmed, -12, seed=7), with_flow(false_positives, 12, seed=8))
    result = with_label_head(artifact, calibration, labelled, RULE)
    assert result.about["labels"]["reason"] == reason
    assert (result.head, result.decision) == (None, artifact.decision)


def test_raised_scores_have_the_same_bits_alone_in_a_batch_and_after_loading(headed):
    blob = dump_artifact(headed)
    records = with_flow(40, -9, seed=10)
    scores = RecordScorer(headed).score(records)[ANOMALY_SCORE].to_numpy()
    loaded = RecordScorer(load_artifact(blob, digest(blob)))
    alone = [loaded.score(records.iloc[[row]])[ANOMALY_SCORE].iloc[0] for row in range(len(records))]
    assert scores.tolist() == alone


def test_a_head_without_a_range_is_refused(headed):
    head = replace(headed.head, limits=np.array([1.0, 1.0]))
    blob = dump_artifact(replace(headed, head=head))
    with pytest.raises(ArtifactError, match="not above 0"):
        load_artifact(blob, digest(blob))


def test_a_factor_is_the_cube_root_of_one_plus_the_deviation():
    head = LabelHead(np.zeros(2), np.ones(2), np.array([1.0, 0.0]), np.array([0.0, 0.5]))
    assert head.factors(np.array([[3.5, 9.0], [-3.5, 9.0], [0.0, 0.0]])).tolist() == [2.0, 1.0, 1.0]


def test_the_card_reports_what_labels_did(headed):
    card = RecordCard.from_json(RecordCard(labels=headed.about["labels"]).to_json())
    text, gain = RecordCardText(), np.expm1(headed.about["labels"]["gain"])
    line = next(iter(text.details(card, "pump")))
    assert line.startswith(
        f"Labels: 8 confirmed, 4 false positives; they raise scores (cross-validated gain {gain:.0%})"
    )
    assert "flow below" in line
    assert f"Labels: {text.training_facts(card)['labels']}." == line
