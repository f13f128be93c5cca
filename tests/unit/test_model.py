"""Results of a trained model other than scores: latents, reconstructions, samples."""

import numpy as np
import pandas as pd
import pytest

from detector.core import arithmetic, kernels, numpy_kernels
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.model import CHUNK_RECORDS, Model
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from schemas.config import ModelConfig
from schemas.errors import MissingColumns, RecordsError
from tests.samples import FEATURES, make_records


@pytest.fixture(scope="module")
def fresh():
    return make_records(400, seed=1)


@pytest.fixture(scope="module")
def model(scorer):
    return scorer.model


def test_an_encoding_is_one_row_of_latents_for_a_record(model, fresh):
    latents = model.encode(fresh)
    assert latents.shape == (400, model.network.architecture.latent)
    assert latents.dtype == np.float32
    assert np.isfinite(latents).all()
    np.testing.assert_array_equal(latents[5:6], model.encode(fresh.iloc[5:6]))


def test_the_latents_hold_the_cause_behind_the_records(model, fresh):
    latents = np.column_stack([model.encode(fresh), np.ones(len(fresh))])
    fitted = latents @ np.linalg.lstsq(latents, fresh["load"], rcond=None)[0]
    assert np.corrcoef(fitted, fresh["load"])[0, 1] > 0.95


def test_a_reconstruction_has_the_columns_units_and_index_of_the_records(model, fresh):
    shifted = fresh.set_index(fresh.index + 1000)
    rebuilt = model.reconstruct(shifted)
    assert rebuilt.index.equals(shifted.index)
    assert list(rebuilt) == list(fresh)
    for name in ("load", "flow"):
        assert np.corrcoef(rebuilt[name], shifted[name])[0, 1] > 0.95
        assert rebuilt[name].mean() == pytest.approx(shifted[name].mean(), abs=0.3 * shifted[name].std())
    assert (rebuilt["mode"] == shifted["mode"]).mean() > 0.8
    assert (rebuilt["is_open"] == shifted["is_open"]).mean() > 0.8
    assert rebuilt["is_open"].dtype == bool


def test_a_reconstruction_imputes_missing_values_from_the_others(model, fresh):
    gone = fresh.assign(pressure=np.nan)
    rebuilt = model.reconstruct(gone)["pressure"]
    is_known = fresh["pressure"].notna()
    assert rebuilt.notna().all()
    assert np.corrcoef(rebuilt[is_known], fresh["pressure"][is_known])[0, 1] > 0.8


def test_a_reconstruction_corrects_a_value_that_the_others_contradict(model, fresh):
    wrong = fresh.assign(flow=fresh["flow"] + 80)
    rebuilt = model.reconstruct(wrong)["flow"]
    assert (np.abs(rebuilt - fresh["flow"]) < np.abs(wrong["flow"] - fresh["flow"])).mean() > 0.9


@pytest.fixture(scope="module")
def generator(normal_records):
    """Return a model that was trained long enough to learn how little noise its features have."""
    config = ModelConfig(members=1, hidden=32, steps=1000, batch_size=64, learning_rate=6e-3, patience=20)
    normal = NormalRecords(normal_records.iloc[:1000], normal_records.iloc[1000:])
    return RecordScorer(fit_artifact(normal, FEATURES, config, rule=DecisionRule(rate=0.01)))


@pytest.fixture(scope="module")
def sampled(generator):
    return generator.model.sample(3000, np.random.default_rng(0))


def test_samples_resemble_normal_records(sampled, normal_records):
    assert list(sampled) == list(normal_records)
    for name in ("load", "flow", "pressure"):
        scale = normal_records[name].std()
        assert sampled[name].mean() == pytest.approx(normal_records[name].mean(), abs=0.25 * scale)
        assert sampled[name].std() == pytest.approx(scale, rel=0.3)
    shares = normal_records["mode"].value_counts(normalize=True)
    assert set(sampled["mode"]) <= set(shares.index)
    np.testing.assert_allclose(sampled["mode"].value_counts(normalize=True)[shares.index], shares, atol=0.12)


def test_samples_keep_how_features_go_together(sampled):
    assert sampled["load"].corr(sampled["flow"]) > 0.8
    by_mode = sampled.groupby("mode")["flow"].mean()
    assert by_mode["low"] < by_mode["normal"] < by_mode["high"]


def test_samples_are_hardly_ever_anomalies(generator, sampled):
    times = pd.date_range("2026-01-05", periods=len(sampled), freq="7min", tz="UTC")
    assert generator.score(sampled.assign(read_at=times))["is_anomaly"].mean() < 0.05


def test_the_generator_decides_the_samples(model):
    one, again, other = (model.sample(20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(other)


def test_a_long_frame_is_worked_through_in_chunks_with_the_same_result(scorer, model):
    records = make_records(CHUNK_RECORDS + 300, seed=2)
    tail = records.iloc[CHUNK_RECORDS - 2 :]
    np.testing.assert_array_equal(model.anomaly_score(records)[CHUNK_RECORDS - 2 :], model.anomaly_score(tail))
    np.testing.assert_array_equal(model.encode(records)[CHUNK_RECORDS - 2 :], model.encode(tail))
    pd.testing.assert_frame_equal(model.reconstruct(records).iloc[CHUNK_RECORDS - 2 :], model.reconstruct(tail))
    explained = scorer.explain(records, model.anomaly_score(records), 2)
    assert explained[CHUNK_RECORDS - 2 :] == scorer.explain(tail, model.anomaly_score(tail), 2)


@pytest.mark.parametrize("ask", ["anomaly_score", "encode", "reconstruct"])
def test_no_records_or_records_without_a_feature_are_refused(model, fresh, ask):
    with pytest.raises(RecordsError, match="the frame is empty"):
        getattr(model, ask)(fresh.iloc[:0])
    with pytest.raises(MissingColumns, match=r"lack the columns \['flow'\]"):
        getattr(model, ask)(fresh.drop(columns="flow"))


def test_nothing_to_explain_is_no_explanation(scorer, fresh):
    assert scorer.explain(fresh.iloc[:0], np.zeros(0), 3) == []


@pytest.mark.parametrize("compute", [Model.anomaly_score, Model.scored])
def test_the_work_on_records_is_expected_before_it_begins(compute, model, fresh, monkeypatch):
    choice = arithmetic.Choice()
    monkeypatch.setattr("detector.records.model.CHOICE", choice)
    monkeypatch.setattr(arithmetic, "MAX_NUMPY_WORK", 3 * model.network.work_per_record)
    compute(model, fresh.head(3))
    assert choice.module(0) is numpy_kernels
    compute(model, fresh.head(4))
    assert choice.module(0) is kernels
