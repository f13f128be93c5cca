"""A monitor of series with networks: trained by the configured backend, stored, and scored without it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from detector.series import keras_network
from jobs.databases import writing
from jobs.training.series_training import settings_of
from jobs.training.train import train_monitor
from schemas.series import SeriesConfig
from tests.machines import interleaved, machine
from tests.workspace import Workspace

ROOT = Path(__file__).parents[2]
NETWORK = {"network": True, "seed": 3, "models": "per_entity", "reference": 200}

CONFIG = """\
[store]
url = "sqlite:///plumbline.db"
[monitors.mixer]
table = "mixer"
key = "id"
time = "read_at"
numeric = ["torque", "speed", "load"]
false_positive_rate = 0.05
[monitors.mixer.series]
models = "shared"
network = true
"""

TRAIN = """
import sys
from detector.core.keras_backend import choose_backend

choose_backend(sys.argv[1], "cpu")

import numpy as np
from detector.series import Series, SeriesModel, SeriesSettings, keras_network
from tests.machines import channels

keras_network.STEPS = 60
model = SeriesModel.fit({"a": Series(np.arange(300), channels(300, 0))}, SeriesSettings(models="shared", network=True))
np.save(sys.argv[2], model.scores("a", Series(np.arange(300), channels(300, 1))))
"""


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(keras_network, "STEPS", 60)


def test_networks_are_trained_stored_and_score_the_same_however_batches_are_cut(mixer):
    mixer.train(series=NETWORK)
    assert mixer.score(series=NETWORK, batch_size=170).batches == 10
    scores, vae_scores = mixer.scores(), mixer.vae_scores()
    assert len(scores) == 1600
    assert all(error > 0 and elbo is not None for _, _, error, elbo in vae_scores)
    mixer.store.recounting.reopen_window(
        "mixer", pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2027-01-01", tz="UTC")
    )
    with writing(mixer.store.engine) as connection:
        connection.exec_driver_sql("DELETE FROM scores")
    mixer.score(series=NETWORK, batch_size=10_000)
    assert (mixer.scores(), mixer.vae_scores()) == (scores, vae_scores)


def test_the_model_records_the_training_of_its_networks(mixer):
    heard = []
    report = train_monitor(mixer.source(series=NETWORK), mixer.store, lambda: mixer.now, progress=heard.append)
    manifest = mixer.store.models.get(report.model_id).manifest
    assert (manifest["config"]["network"], manifest["config"]["seed"]) == (True, 3)
    assert [(epoch["number"], epoch["of"]) for epoch in manifest["about"]["history"]] == [(1, 2), (2, 2)]
    assert manifest["about"]["history"] == [vars(epoch) for epoch in heard]
    assert manifest["about"]["versions"]["backend"] == "tensorflow"
    assert {"keras", "numpy"} < manifest["about"]["versions"].keys()


def test_a_user_trains_scores_and_reads_the_settings_of_the_network(tmp_path):
    workspace = Workspace(tmp_path)
    interleaved(machine("a", 400, 0)).to_csv(tmp_path / "mixer.csv", index=False)
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    for command in ("migrate", "import mixer.csv --table mixer", "train mixer", "score mixer"):
        workspace.must(*command.split())
    shown = workspace.must("models", "show", "1").out
    assert "ELBO" in shown
    assert workspace.must("status", "--json").json[0]["records"] == 400


def test_without_networks_a_training_does_not_mention_them(mixer):
    heard = []
    report = train_monitor(mixer.source(), mixer.store, lambda: mixer.now, progress=heard.append)
    about = mixer.store.models.get(report.model_id).manifest["about"]
    assert (heard, about["history"], about["versions"].keys()) == ([], [], {"numpy", "pandas", "scipy"})


def test_the_configuration_reaches_the_settings():
    assert (SeriesConfig().network, SeriesConfig().seed) == (True, 0)
    settings = settings_of(SeriesConfig(network=False, seed=7))
    assert (settings.network, settings.seed) == (False, 7)
    with pytest.raises(ValidationError, match="seed"):
        SeriesConfig(seed=-1)


@pytest.mark.jax
def test_tensorflow_and_jax_train_the_same_networks(tmp_path):
    scores = []
    for backend in ("tensorflow", "jax"):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", TRAIN, backend, str(tmp_path / f"{backend}.npy")]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
        scores.append(np.load(tmp_path / f"{backend}.npy"))
    # measured: 2e-7 at most, since each compiler orders float32 sums its own way
    np.testing.assert_allclose(*scores, rtol=1e-5, atol=1e-5)
