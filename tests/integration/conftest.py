"""Databases and monitors of several files of tests."""

import pytest

from jobs.databases import open_engine
from tests.series_monitor import Mixer, readings


@pytest.fixture
def sqlite_engine(sqlite_url):
    engine = open_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_engine(postgres_url):
    engine = open_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def mixer(store, tmp_path, now):
    mixer = Mixer(store, tmp_path, now)
    mixer.fill(readings())
    yield mixer
    mixer.close()
