"""The temporal autoencoder: trained by Keras for many entities at once, scored without it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detector.core.arrays import NumpyArrays
from detector.core.progress import Epoch
from detector.series import Series, SeriesModel, SeriesSettings, keras_network
from detector.series.measured import Measured
from detector.series.network import TemporalNetwork
from detector.series.numpy_network import Scale, TrainedNetwork
from schemas.errors import ConfigError

ROOT = Path(__file__).parents[2]
SETTINGS = SeriesSettings(models="per_entity", network=True, reference=200)
LOSS, LATENT = -2, -1  # positions among the signals, which end with those of the network


def plant(n: int, seed: int) -> np.ndarray:
    """Return (n, 3): a cycle that two channels follow, each with noise, and a channel of noise alone."""
    rng = np.random.default_rng(seed)
    cycle = np.sin(2 * np.pi * np.arange(n) / 60)
    return cycle[:, None] * [1.0, -2.0, 0.0] + 0.1 * rng.standard_normal((n, 3))


def series(values: np.ndarray, start: int = 0) -> Series:
    return Series(np.arange(start, start + len(values)), values)


def fit(settings: SeriesSettings = SETTINGS) -> SeriesModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_network, "STEPS", 120)
        return SeriesModel.fit({"pump": series(plant(900, 0)), "valve": series(plant(600, 1))}, settings)


@pytest.fixture(scope="module")
def model() -> SeriesModel:
    return fit()


@pytest.fixture(scope="module")
def later() -> np.ndarray:
    return plant(900, 2)


def test_networks_that_run_out_of_memory_start_again_with_half_the_records(monkeypatch):
    features, step, sizes, epochs = (
        [np.random.default_rng(0).normal(size=(90, 4))],
        keras_network.Members.train_on_batch,
        [],
        [],
    )
    monkeypatch.setattr(keras_network, "STEPS", 60)

    def limited(model, inputs, **options):
        sizes.append(inputs["target"].shape[1])
        if sizes[-1] > 40 and len(sizes) > 52:  # in the second epoch
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory.")
        return step(model, inputs, **options)

    monkeypatch.setattr(keras_network.Members, "train_on_batch", limited)
    with pytest.warns(UserWarning, match="starting again with batches of 32"):
        keras_network.train(features, [2], seed=0, progress=epochs.append)
    assert sizes == [64] * 53 + [32] * 60
    assert [(epoch.number, epoch.of) for epoch in epochs] == [(1, 2), (1, 2), (2, 2)]


def test_a_member_scores_by_itself_as_it_was_trained_among_others_of_other_widths():
    rng = np.random.default_rng(0)
    weights = keras_network._initial(2, 10, 4, rng)
    members = keras_network.Members(weights)
    x = rng.standard_normal((2, 8, 10)).astype(np.float32)
    x[1, :, 5:] = 0
    is_real = np.array([[[1.0] * 10], [[1.0] * 5 + [0.0] * 5]], dtype=np.float32)
    nothing = {"hidden": np.zeros_like(x), "draw": np.zeros((2, 8, 4), np.float32), "is_real": is_real}
    together = members.predict_on_batch({"visible": x, "target": x, **nothing})
    for member, width in enumerate((10, 5)):
        own, rows = keras_network._trimmed(weights, member, width), x[member, :, :width]
        network = TemporalNetwork(NumpyArrays(), own)
        mean, log_var = network.encode(rows)
        nll = network.nll(rows, mean).sum(axis=1)
        np.testing.assert_allclose(nll, together["nll"][member], rtol=1e-4)
        np.testing.assert_allclose(network.divergence(mean, log_var), together["kl"][member], rtol=1e-4)


def test_a_wide_network_says_the_same_to_the_bit_however_many_records_come_together():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((600, 190)).astype(np.float32)
    weights = keras_network._trimmed(keras_network._initial(1, 190, 24, rng), 0, 190)
    autoencoder = TrainedNetwork.of(weights, Scale.fit(features), features[:100])
    whole = autoencoder.measure(features)[0]
    for end in (1, 2, 3, 5, 13, 100, 257):
        np.testing.assert_array_equal(autoencoder.measure(features[:end])[0], whole[:end])


def test_training_lowers_the_loss_of_every_member():
    features = [np.repeat(np.random.default_rng(seed).standard_normal((500, 3)), 2, axis=1) for seed in range(2)]
    scales = [Scale.fit(matrix) for matrix in features]
    untrained = keras_network._initial(2, 6, 7, np.random.default_rng(0))
    before = [keras_network._trimmed(untrained, member, 6) for member in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_network, "STEPS", 100)
        after = keras_network.train([s(x) for s, x in zip(scales, features, strict=True)], [3, 3], seed=0)
    for scale, x, *weights in zip(scales, features, before, after, strict=True):
        losses = [TrainedNetwork.of(one, scale, x).typical[0] for one in weights]
        assert losses[1] < losses[0] - 1


def train_briefly(members, **changes):
    """Train networks on noise; return the progress that they reported."""
    heard = []
    features = [np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)] * members
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ({"STEPS": 60, "MAX_MEMBERS": 2} | changes).items():
            patch.setattr(keras_network, name, value)
        keras_network.train(features, [1] * members, seed=0, progress=heard.append)
    return heard


def test_each_epoch_of_networks_that_train_together_is_reported():
    heard = train_briefly(members=3)
    assert [(type(epoch), epoch.number, epoch.of) for epoch in heard] == [(Epoch, number, 4) for number in range(1, 5)]
    assert np.isfinite([epoch.elbo for epoch in heard]).all()
    assert {epoch.held_out_elbo for epoch in heard} == {None}


def test_a_training_that_diverges_is_refused_with_advice():
    with pytest.raises(ConfigError, match="their ELBO of epoch 1 is .*expected a finite number.*network = false"):
        train_briefly(members=1, LEARNING_RATE=1e30)


def test_whoever_hears_of_an_epoch_can_stop_the_training():
    def interrupt(_epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SeriesModel.fit({"pump": series(plant(100, 0))}, SETTINGS, interrupt)


def test_both_views_of_the_network_see_a_broken_correlation(model, later):
    broken = later.copy()
    broken[600:660, 1] *= -1
    entity = model.entities["pump"]
    signals = entity.signals.measure(entity.inputs.cells(series(broken)))
    for signal in (LOSS, LATENT):
        assert signals[600:660, signal].max() > signals[:600, signal].max()


def test_a_score_of_the_network_takes_one_pass_and_keeps_its_bits(model, later):
    faulty = later + np.where(np.arange(900) >= 400, 9.0, 0.0)[:, None] * [0, 0, 1]
    entity = model.entities["pump"]
    every, one = (Measured.of(series(faulty), entity.inputs, entity.signals, 0, name) for name in ("fused", "elbo"))
    assert every.settled is not None
    assert (one.settled, one.recovered) == (None, None)
    for name in ("elbo", "reconstruction_error"):
        np.testing.assert_array_equal(one.scores(name, entity.fusion), every.scores(name, entity.fusion))


@pytest.mark.parametrize("size", [1, 7, 256])
def test_scores_do_not_depend_on_where_a_series_is_cut(model, later, size):
    whole = model.scores("pump", series(later))
    for start in (650, 700, 843):
        first, end = max(start - model.context_rows, 0), min(start + size, len(later))
        part = model.scores("pump", series(later[first:end], first))
        np.testing.assert_array_equal(part[start - first :], whole[start:end])


def test_the_same_seed_trains_the_same_model_and_another_one_another(model, later):
    again, other = fit(), fit(SeriesSettings(models="per_entity", network=True, reference=200, seed=1))
    scores = [one.scored("valve", series(later)).vae.elbo for one in (model, again, other)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert (scores[0] != scores[2]).any()


def test_a_model_comes_back_from_its_arrays_and_manifest(model, later):
    arrays, manifest = model.to_state()
    back = SeriesModel.from_state(arrays, json.loads(json.dumps(manifest)))
    assert back.settings == SETTINGS
    for entity in ("pump", "valve"):
        np.testing.assert_array_equal(back.scores(entity, series(later)), model.scores(entity, series(later)))
    assert len(back.scores("pump", series(later[:0]))) == 0


def test_without_a_network_nothing_of_it_is_stored():
    plain = SeriesModel.fit({"pump": series(plant(200, 0))}, SeriesSettings(network=False))
    arrays, manifest = plain.to_state()
    assert not any("network" in name for name in arrays)
    assert {"network", "seed"}.isdisjoint(manifest["settings"])


def test_scoring_with_a_network_and_training_without_one_load_no_keras(model, tmp_path):
    arrays, manifest = model.to_state()
    np.savez(tmp_path / "arrays.npz", **arrays)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    script = (
        "import json, sys, numpy as np\n"
        "from detector.series import Series, SeriesModel, SeriesSettings\n"
        "model = SeriesModel.from_state(dict(np.load('arrays.npz')), json.load(open('manifest.json')))\n"
        "values = np.random.default_rng(0).standard_normal((80, 3))\n"
        "assert len(model.scores('pump', Series(np.arange(80), values))) == 80\n"
        "SeriesModel.fit({'pump': Series(np.arange(80), values)}, SeriesSettings(network=False))\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
