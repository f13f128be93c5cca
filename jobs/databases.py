"""Engines and transactions of the databases: the store's and those of watched tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from jobs.dialects import dialect_of
from schemas.errors import ConfigError, PlumblineError, StoreError


def open_engine(url: SecretStr) -> Engine:
    """Return an engine for a database address; it connects when first used.

    Raises:
        ConfigError: If the address is not valid, or needs a driver that is not installed.
    """
    # No message may contain the address: it may hold a password.
    try:
        parsed = make_url(url.get_secret_value())
        return _engine(parsed)
    except NoSuchModuleError:
        msg = f"{parsed.drivername!r} is not a supported kind of database. Use, for example, postgresql or sqlite."
        raise ConfigError(msg) from None
    except (ArgumentError, ValueError):
        msg = "A database address cannot be read. Expected a form such as postgresql://user:password@host/database."
        raise ConfigError(msg) from None
    except ModuleNotFoundError as exc:
        package = dialect_of(parsed).driver_packages.get(exc.name or "")
        hint = f"Install it: pip install {package}" if package else "Install it first."
        msg = f"The driver {exc.name!r} for {parsed.drivername!r} is not installed. {hint}"
        raise ConfigError(msg) from None


@contextmanager
def reading(engine: Engine, error: type[PlumblineError] = StoreError) -> Iterator[Connection]:
    """Open a transaction that cannot write; database errors are raised as `error`."""
    dialect = dialect_of(engine)
    file = dialect.file(engine.url)
    if file is not None and not file.exists():  # connecting would leave an empty file behind
        msg = f"There is no {dialect.title} file {file}. Check the address, or create the store with: plumbline migrate"
        raise error(msg)
    with translated(engine, error), engine.connect() as connection:
        connection.execution_options(**dialect.read_only_options)
        yield connection


@contextmanager
def writing(engine: Engine, error: type[PlumblineError] = StoreError) -> Iterator[Connection]:
    """Open a transaction that commits at its end; database errors are raised as `error`, with nothing written."""
    with translated(engine, error), engine.begin() as connection:
        yield connection


@contextmanager
def translated(engine: Engine, error: type[PlumblineError]) -> Iterator[None]:
    """Raise database errors as one sentence of class `error`, without password or parameters."""
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
    """Return the sentence for a driver's error: the database, the reason and what to do about it."""
    return dialect_of(url).failure(url, detail)


def _engine(url: URL) -> Engine:
    dialect = dialect_of(url)
    engine = create_engine(dialect.with_driver(url), hide_parameters=True, **dialect.engine_options(url))
    dialect.prepare_engine(engine)
    return engine
