"""Monitors that several files of tests watch."""

import pytest

from tests.series_monitor import Mixer, readings


@pytest.fixture
def mixer(store, tmp_path, now):
    mixer = Mixer(store, tmp_path, now)
    mixer.fill(readings())
    yield mixer
    mixer.close()
