"""Engines with the settings of a service, their transactions, and database errors as our own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from schemas.errors import ConfigError, PlumblineError, StoreError

_BUSY_SECONDS = 30
_CONNECT_SECONDS = 10

# What a driver says, and what to do about it. The first match counts.
_ADVICE = (
    (r"password authentication failed|access denied for user", "Check the user name and the password in its address"),
    (r"refused|resolve|translate host|timed? ?out|no such file|unreachable", "Check host and port; is it running?"),
    (r"database is locked", "Another program holds the file; let it finish, then try again"),
    (r"disk is full|disk I/O error|no space left|could not extend", "Is its disk full? Make room"),
    (r"readonly database|read-only file", "The file or its folder is read-only; change its permissions or move it"),
    (r"unable to open database", "Its folder must exist, and be writable for this user"),
    (r"not a database|malformed", "The address must name an SQLite file that is whole"),
    (r"permission denied|insufficient privilege", "Grant this user the right to it"),
    (r"unique|duplicate key", "A row like it is there already; try again"),
)


def open_engine(url: SecretStr) -> Engine:
    """An engine for a database address; connects only when first used.

    Raises:
        ConfigError: where the address is none, or needs a driver that is not installed.
    """
    # None of these texts may carry the address: it may hold a password.
    try:
        parsed = make_url(url.get_secret_value())
        return _engine(parsed)
    except NoSuchModuleError:
        msg = f"{parsed.drivername!r} is no known kind of database. Known are, for example, postgresql and sqlite."
        raise ConfigError(msg) from None
    except (ArgumentError, ValueError):
        msg = "A database address cannot be read. Expected a form such as postgresql://user:password@host/database."
        raise ConfigError(msg) from None
    except ModuleNotFoundError as exc:
        msg = f"The driver {exc.name!r} for {parsed.drivername!r} is not installed. Install it: pip install {exc.name}"
        raise ConfigError(msg) from None


def display_name(url: URL) -> str:
    """The address without its password."""
    shown = url.update_query_dict({"password": "***"}) if "password" in url.query else url
    return shown.render_as_string(hide_password=True)


def has_password(url: SecretStr) -> bool:
    """Whether a database address holds a password."""
    try:
        parsed = make_url(url.get_secret_value())
    except (ArgumentError, ValueError):  # who opens it says what is wrong with it
        return True
    return bool(parsed.password) or "password" in parsed.query


def sqlite_file(url: URL) -> Path | None:
    """The file behind an SQLite address; None for other databases, and for one in memory."""
    is_file = url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":memory:", "file:"))
    return Path(url.database) if is_file and url.database else None


@contextmanager
def reading(engine: Engine, error: type[PlumblineError] = StoreError) -> Iterator[Connection]:
    """A transaction that cannot write; database errors leave it as `error`."""
    file = sqlite_file(engine.url)
    if file is not None and not file.exists():  # connecting would leave an empty file behind
        msg = f"There is no SQLite file {file}. Check the address, or make the store with: plumbline migrate"
        raise error(msg)
    with translated(engine, error), engine.connect() as connection:
        connection.execution_options(plumbline_read_only=True, postgresql_readonly=True)
        yield connection


@contextmanager
def writing(engine: Engine, error: type[PlumblineError] = StoreError) -> Iterator[Connection]:
    """A transaction that commits at its end; database errors leave it as `error`, with nothing written."""
    with translated(engine, error), engine.begin() as connection:
        yield connection


@contextmanager
def translated(engine: Engine, error: type[PlumblineError]) -> Iterator[None]:
    """Database errors inside become one sentence of class `error`, without password or parameters."""
    driver: Any = engine.dialect.loaded_dbapi
    try:
        yield
    except StatementError as exc:
        raise error(failure(engine.url, str(exc.orig))) from exc
    except driver.Error as exc:  # of a connection without SQLAlchemy
        raise error(failure(engine.url, str(exc))) from exc
    except PoolTimeout as exc:
        raise error(failure(engine.url, str(exc))) from exc


def failure(url: URL, detail: str) -> str:
    """The sentence for what a driver said about a database."""
    reason = " ".join(detail.strip().split("\n")[0].split()).rstrip(".")
    if url.password:
        reason = reason.replace(str(url.password), "***")
    advice = next((text for pattern, text in _ADVICE if re.search(pattern, reason, re.IGNORECASE)), None)
    return f"The database {display_name(url)} refused: {reason}." + (f" {advice}." if advice else "")


def _engine(url: URL) -> Engine:
    if url.drivername in {"postgresql", "postgres"}:
        url = url.set(drivername="postgresql+psycopg")
    backend = url.get_backend_name()
    if backend == "sqlite":
        arguments = {} if "timeout" in url.query else {"timeout": _BUSY_SECONDS}
        engine = create_engine(url, hide_parameters=True, connect_args=arguments)
        _prepare_sqlite(engine)
        return engine
    arguments = {"connect_timeout": _CONNECT_SECONDS} if backend == "postgresql" else {}
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=arguments)


def _prepare_sqlite(engine: Engine) -> None:
    """Make every transaction state its kind, as the driver's own would lock only at the first write.

    Two readers that both turn writers cannot wait for each other, so SQLite fails one of them at once;
    BEGIN IMMEDIATE makes a writer wait for its turn at the start instead.
    """

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        is_read_only = connection.get_execution_options().get("plumbline_read_only", False)
        connection.exec_driver_sql(f"PRAGMA query_only = {int(is_read_only)}")
        connection.exec_driver_sql("BEGIN DEFERRED" if is_read_only else "BEGIN IMMEDIATE")
