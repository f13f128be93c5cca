"""Databases and monitors of several files of tests."""

import pytest

from jobs.databases import open_engine
from tests.api_service import module_url, opened_service, serving
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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request, tmp_path_factory):
    """A service on a store with rows in every table, shared by the tests of a module."""
    with module_url(request, tmp_path_factory) as url, opened_service(url) as made:
        yield made


@pytest.fixture(scope="module")
def client(service):
    """A plain HTTP client of the service."""
    with serving(service) as client:
        yield client
