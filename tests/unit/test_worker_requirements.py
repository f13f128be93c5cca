"""Workers have the same packages as any installation, but those that only trainings, measurements and pictures need."""

import importlib
import re

import pytest

from jobs import cli
from tests.workspace import ROOT

MODULES = {"scikit-learn": "sklearn"}  # if they are named differently


def pinned(name):
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))


def test_a_worker_has_the_versions_of_all_and_lacks_what_the_overrides_and_the_error_name():
    left_out = re.findall(r"^([\w-]+) ;", (ROOT / "requirements/worker_overrides.txt").read_text(), re.MULTILINE)
    everything, worker = pinned("run.txt"), pinned("worker.txt")
    assert worker.items() <= everything.items()
    assert set(left_out) <= everything.keys() - worker.keys()
    assert {MODULES.get(name, name) for name in left_out} == cli._NOT_IN_WORKERS
    assert "llvmlite" in worker


def test_a_missing_package_is_named_and_its_import_shown_on_request(monkeypatch, capsys):
    monkeypatch.setenv("PLUMBLINE_DEBUG", "1")
    with pytest.raises(ModuleNotFoundError) as missing:
        importlib.import_module("scipy.none_of_its_modules")
    assert "needs the package 'scipy'" in cli._unexpected(missing.value)
    assert "in _find_and_load" in capsys.readouterr().err
