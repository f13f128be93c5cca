"""Trainings run in processes of their own, and what these say is in the log."""

import logging

from jobs.serving.trainer import Trainer
from tests.commands import ROOT


def test_what_a_training_says_is_logged_and_its_end_is_told_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    caplog.set_level(logging.INFO, logger="plumbline")
    trainer = Trainer(tmp_path / "none.toml")
    assert (trainer.is_busy, trainer.take_result()) == (False, None)
    trainer.start()
    trainer._process.wait(60)
    trainer._reader.join(60)
    assert (trainer.is_busy, trainer.take_result(), trainer.take_result()) == (False, 2, None)
    assert "There is no configuration" in caplog.text


def test_a_folder_named_jobs_where_the_service_was_started_is_not_run(tmp_path, monkeypatch, caplog):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").write_text("raise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, logger="plumbline")
    trainer = Trainer(tmp_path / "none.toml")
    trainer.start()
    trainer._process.wait(60)
    trainer._reader.join(60)
    assert trainer.take_result() == 2
    assert "There is no configuration" in caplog.text


def test_after_the_stop_no_training_begins(tmp_path):
    trainer = Trainer(tmp_path / "none.toml")
    trainer.stop()
    trainer.start()
    assert not trainer.is_busy
