"""Every Keras backend trains the same model and gives the same scores; one that is not there is named."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detector.records.scores import SCORES

ROOT = Path(__file__).parents[2]

TRAIN_AND_SCORE = """
import sys
from pathlib import Path
from detector.core.keras_backend import backend_name, choose_backend

backend, device, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
choose_backend(backend, device)
assert backend_name() == backend

import numpy as np
from detector.core.blob import digest
from detector.records.artifact import dump_artifact, load_artifact
from detector.records.fitting import DecisionRule, fit_artifact
from detector.records.normal_records import NormalRecords
from detector.records.scorer import RecordScorer
from tests.samples import FEATURES, SMALL, make_records

records = make_records(600)
strange = make_records(200, seed=1)
strange.loc[0, "flow"] = 500.0
strange.loc[1, "mode"] = "never seen"
normal = NormalRecords(records.iloc[:400], records.iloc[400:])
trained = dump_artifact(fit_artifact(normal, FEATURES, SMALL, rule=DecisionRule(rate=0.01)))
(folder / f"{backend}-{device}.model").write_bytes(trained)
for path in folder.glob("*.model"):
    blob = path.read_bytes()
    scores = RecordScorer(load_artifact(blob, digest(blob))).model.anomaly_scores(strange)
    np.savez(folder / f"{path.stem} on {backend}-{device}.npz", **scores)
"""

CHOOSE = "import sys; from detector.core.keras_backend import choose_backend; choose_backend(*sys.argv[1:])"


def run(program, *arguments):
    """Run a program in a process of its own, in which no Keras is loaded yet, and return its result."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS", "CUDA", "JAX"))}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def train_and_score(backend, device, folder):
    done = run(TRAIN_AND_SCORE, backend, device, str(folder))
    assert done.returncode == 0, done.stderr


def scores_in(folder, trained_on, scored_on):
    return np.load(folder / f"{trained_on}-cpu on {scored_on}-cpu.npz")


@pytest.mark.jax
def test_tensorflow_and_jax_train_the_same_model_and_score_it_alike(tmp_path):
    train_and_score("tensorflow", "cpu", tmp_path)
    train_and_score("jax", "cpu", tmp_path)
    on_tensorflow = scores_in(tmp_path, "tensorflow", "tensorflow")
    carried_over = scores_in(tmp_path, "tensorflow", "jax")
    on_jax = scores_in(tmp_path, "jax", "jax")
    for name in SCORES:
        assert len(np.unique(on_tensorflow[name])) > 190
        # measured: 1.7e-6 at most, since each compiler orders float32 sums its own way
        np.testing.assert_allclose(carried_over[name], on_tensorflow[name], rtol=1e-5, err_msg=name)
        # measured: 3e-6 at most after 150 steps and no more after 500, since NumPy draws everything random
        np.testing.assert_allclose(on_jax[name], on_tensorflow[name], rtol=1e-4, err_msg=name)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_a_backend_that_is_not_installed_is_named_with_the_way_to_get_it():
    done = run(CHOOSE, "torch", "auto")
    assert done.returncode != 0
    assert "BackendError: The backend 'torch' needs the package 'torch', which is not installed." in done.stderr
    assert "pip install torch" in done.stderr


def finds_gpu(backend):
    return run(CHOOSE, backend, "gpu").returncode == 0


@pytest.mark.jax
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_gpu_that_is_not_there_is_an_error_and_auto_does_without(backend):
    done = run(CHOOSE, backend, "gpu")
    if done.returncode == 0:
        pytest.skip(f"{backend} finds a GPU")
    assert f"BackendError: {backend} finds no GPU, and runtime.device is 'gpu'" in done.stderr
    assert run(CHOOSE, backend, "auto").returncode == 0


def test_a_process_keeps_the_backend_that_it_began_with():
    done = run(CHOOSE + '; choose_backend("jax", "cpu")', "tensorflow", "cpu")
    assert "BackendError: Keras already runs on 'tensorflow' in this process" in done.stderr
    assert "Start a new process" in done.stderr


@pytest.mark.gpu
@pytest.mark.jax
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_a_gpu_trains_and_scores_as_the_cpu_does(backend, tmp_path):
    if not finds_gpu(backend):
        pytest.skip(f"{backend} finds no GPU on this machine")
    train_and_score(backend, "cpu", tmp_path)
    train_and_score(backend, "gpu", tmp_path)
    on_cpu, on_gpu = (np.load(tmp_path / f"{backend}-cpu on {backend}-{device}.npz") for device in ("cpu", "gpu"))
    for name in SCORES:  # GPUs may round the factors of a product to 10 bits (TF32)
        np.testing.assert_allclose(on_gpu[name], on_cpu[name], rtol=0.02, err_msg=name)
