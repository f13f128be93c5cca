"""Calibration records that are a random draw are neighbours of new records, and their own only of others."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from detector.core.blob import digest
from detector.records.artifact import dump_artifact, load_artifact
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from schemas.errors import ArtifactError
from schemas.frames import Features
from tests.samples import SMALL

FEATURES = Features(numeric=("flow", "pressure", "load"))
RULE = DecisionRule(rate=0.05, trusts_outliers=True)


def draw(n, seed):
    """Return records of a curved relation with heavy tails."""
    rng = np.random.default_rng(seed)
    level = rng.standard_t(4, n)
    return pd.DataFrame(
        {"flow": level, "pressure": level**2 + rng.normal(0, 0.3, n), "load": rng.exponential(1 + np.abs(level))}
    )


def fitted(seed=0, *, is_drawn=True, score="ensemble", records=None):
    records = draw(500, seed) if records is None else records
    config = SMALL.model_copy(update={"score": score, "steps": 40, "seed": seed})
    return fit_artifact(NormalRecords(records[:400], records[400:], is_drawn), FEATURES, config, rule=RULE)


@pytest.fixture(scope="module")
def artifact():
    return fitted()


def test_a_calibration_record_is_scored_against_the_others(artifact):
    model = RecordScorer(artifact).model
    assert artifact.reference.calibrating == 100
    own = model.anomaly_score(draw(500, 0)[400:])
    assert np.array_equal(np.sort(own), artifact.calibration.scores)
    moved = draw(500, 0)[400:] * (1 + 1e-6)  # a new record has all of them as neighbours
    assert np.mean(model.anomaly_score(moved) < own) > 0.9


def test_normal_records_are_flagged_at_the_rate(artifact):
    scorers = [RecordScorer(artifact), *(RecordScorer(fitted(seed)) for seed in range(1, 6))]
    shares = [np.mean(scorer.score(draw(2000, 100 + seed))["p_value"] <= 0.05) for seed, scorer in enumerate(scorers)]
    assert 0.03 < np.mean(shares) < 0.06


def test_the_other_scores_know_the_training_records_alone(artifact):
    alone = fitted(is_drawn=False)
    assert alone.reference.calibrating == 0
    names = ("combined", "joint_knn", "latent_knn", "elbo", "reconstruction_error")
    new = draw(50, 9)
    with_them, without = (RecordScorer(one).model.anomaly_scores(new, names) for one in (artifact, alone))
    assert all(np.array_equal(with_them[name], without[name]) for name in names)
    assert fitted(score="combined").reference.calibrating == 0


def test_they_stay_apart_if_records_repeat_since_a_new_one_would_be_taken_for_one_of_them():
    assert fitted(records=draw(500, 0).round()).reference.calibrating == 0
    standing = draw(500, 0)
    standing.iloc[::2] = 0.0  # a record that all have as a neighbour, with or without itself
    assert fitted(records=standing).reference.calibrating == 100


def test_an_artifact_keeps_them_and_one_without_training_records_is_refused(artifact):
    blob = dump_artifact(artifact)
    loaded, new = load_artifact(blob, digest(blob)), draw(50, 9)
    assert np.array_equal(*(RecordScorer(one).model.anomaly_score(new) for one in (artifact, loaded)))
    broken = dump_artifact(replace(artifact, reference=replace(artifact.reference, calibrating=500)))
    with pytest.raises(ArtifactError, match="no training record among its reference records"):
        load_artifact(broken, digest(broken))
