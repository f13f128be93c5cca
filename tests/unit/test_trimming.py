"""Training records that look anomalous are left out, where that is asked for."""

import numpy as np
import pandas as pd
import pytest

from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from schemas.frames import Features
from tests.samples import FEATURES, SMALL, make_records

RULE = DecisionRule(rate=0.05)


def fitted(training, trim):
    config = SMALL.model_copy(update={"trim": trim, "steps": 50})
    return RecordScorer(fit_artifact(NormalRecords(training, make_records(200, seed=2)), FEATURES, config, rule=RULE))


@pytest.fixture(scope="module")
def dirty():
    """Return records of which the first twenty are scattered far from the others."""
    records = make_records(400, seed=1)
    spread = np.random.default_rng(0).uniform(5, 9, (20, 2)) * np.random.default_rng(1).choice([-1, 1], (20, 2))
    numbers = records[["flow", "load"]]
    records.loc[records.index[:20], ["flow", "load"]] = numbers.mean().to_numpy() + spread * numbers.std().to_numpy()
    return records


@pytest.fixture(scope="module")
def models(dirty):
    """Return models of all records and of all but a twentieth, by the share left out."""
    return {trim: fitted(dirty, trim) for trim in (0.0, 0.05)}


def test_the_requested_share_is_left_out_and_consists_mostly_of_anomalies(dirty, models):
    model = models[0.05].model
    assert model.reference.n_train == 380
    [scale] = [column.to_state()["scale"] for column in model.encoder.columns if column.name == "load"]
    clean, with_anomalies = dirty["load"].iloc[20:].std(), dirty["load"].std()
    assert scale - clean < 0.5 * (with_anomalies - clean)


def test_anomalies_like_the_omitted_records_score_higher(dirty, models):
    alike = dirty.iloc[:20].assign(flow=dirty["flow"].iloc[:20] * 1.001)
    scores = {trim: model.score(alike)["p_value"].mean() for trim, model in models.items()}
    assert scores[0.05] < scores[0.0]


def test_without_a_share_every_record_stays(models):
    assert models[0.0].model.reference.n_train == 400


def test_a_training_record_is_measured_against_the_others(dirty, models):
    model = models[0.0].model
    against_itself, against_others = model.anomaly_score(dirty), model.training_score(dirty)
    assert (against_others > against_itself).mean() > 0.9
    assert against_others[:20].mean() > 2 * against_others[20:].mean()


def test_too_few_records_to_trim_are_kept():
    few = pd.DataFrame({"x": np.arange(9.0), "y": np.arange(9.0) ** 2})
    features, config = Features(numeric=("x", "y")), SMALL.model_copy(update={"trim": 0.5, "steps": 5})
    artifact = fit_artifact(NormalRecords(few, pd.concat([few] * 3)), features, config, rule=RULE)
    assert artifact.reference.n_train == 8
