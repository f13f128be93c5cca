"""Plumbline starts in a project that has packages named like Plumbline's own."""

import os
import subprocess
import sys

import pytest

from jobs.serving.trainer import Trainer
from tests.workspace import ROOT

NAMES = ("jobs", "detector", "schemas")


@pytest.fixture
def project(tmp_path):
    """A project whose packages fail when they are imported."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported the wrong package')")
    return tmp_path


def run_python(project, *arguments):
    """Run the interpreter in a project that is first on PYTHONPATH."""
    path = os.pathsep.join((str(project), str(ROOT)))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "start",
    [("-m", "plumbline"), ("-c", "import sys; from plumbline.command import main; main()")],
    ids=["module", "script"],
)
def test_the_command_starts_in_a_project_with_packages_of_the_same_names(project, start):
    assert run_python(project, *start, "init").returncode == 0
    status = run_python(project, *start, "migrate")
    assert (status.returncode, status.stderr) == (0, "")
    assert "The store is at revision" in status.stdout


def test_a_module_in_place_of_a_package_does_no_harm_either(tmp_path):
    (tmp_path / "jobs.py").write_text("raise SystemExit('imported the wrong module')")
    assert run_python(tmp_path, "-m", "plumbline", "--help").returncode == 0


def test_a_training_of_the_service_starts_there_too(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(project), str(ROOT))))
    monkeypatch.chdir(project)
    command = Trainer(project / "none.toml")._command
    started = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (started.returncode, "There is no configuration" in started.stderr) == (2, True)


def test_the_detector_is_imported_with_a_warning_about_the_hidden_packages(project):
    code = "from plumbline import VAEDetector, RecordsError; print(VAEDetector(members=2))"
    imported = run_python(project, "-c", code)
    assert imported.stdout == "VAEDetector(members=2)\n"
    assert f"Plumbline's package 'schemas' hides yours at {project}" in imported.stderr
    assert "in a process of its own" in imported.stderr


def test_a_package_that_is_imported_already_is_named(tmp_path):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "__init__.py").write_text("")
    refused = run_python(tmp_path, "-c", "import schemas; from plumbline import VAEDetector")
    assert refused.returncode == 1
    assert f"A package 'schemas' from {tmp_path / 'schemas' / '__init__.py'} is imported already" in refused.stderr


def test_the_public_names_are_plumblines(tmp_path):
    code = (
        "import sys, plumbline\n"
        "assert 'numpy' not in sys.modules\n"
        "print(all(hasattr(plumbline, name) for name in dir(plumbline)), plumbline.VAEDetector.__module__)"
    )
    shown = run_python(tmp_path, "-c", code)
    assert shown.stdout == "True detector.estimator\n"
    assert "hides" not in shown.stderr
