"""Trainings run in child processes, and the log holds their output."""

import logging

from jobs.serving.trainer import Trainer
from tests.workspace import ROOT


def test_the_output_of_a_training_is_logged_and_its_exit_code_is_returned_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    caplog.set_level(logging.INFO, logger="plumbline")
    trainer = Trainer(tmp_path / "none.toml")
    assert (trainer.is_busy, trainer.take_exit_code()) == (False, None)
    trainer.start()
    trainer._process.wait(60)
    trainer._reader.join(60)
    assert (trainer.is_busy, trainer.take_exit_code(), trainer.take_exit_code()) == (False, 2, None)
    assert "There is no configuration" in caplog.text


def test_a_folder_named_jobs_in_the_current_folder_is_not_imported(tmp_path, monkeypatch, caplog):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").write_text("raise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, logger="plumbline")
    trainer = Trainer(tmp_path / "none.toml")
    trainer.start()
    trainer._process.wait(60)
    trainer._reader.join(60)
    assert trainer.take_exit_code() == 2
    assert "There is no configuration" in caplog.text


def test_no_training_starts_after_the_stop(tmp_path):
    trainer = Trainer(tmp_path / "none.toml")
    trainer.stop()
    trainer.start()
    assert not trainer.is_busy
