"""Engines and transactions of the databases: the store's and those of watched tables."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from jobs.addresses import display_name, has_stray_mark
from jobs.database_calls import CALLS, Call, current_call
from jobs.dialects import TIMEOUTS, Dialect, dialect_of
from schemas.errors import ConfigError, PlumblineError, SourceAway, SourceError, SourceTimeout, StoreError
from schemas.service import Timeouts


@dataclass(frozen=True)
class PoolSize:
    """How many connections an engine holds."""

    kept: int = 5
    """Connections that stay open."""
    more: int = 40
    """Connections that are opened when needed, and closed after their use."""


_AWAY = frozenset({"OperationalError", "InterfaceError"})  # the classes of drivers for servers that cannot be reached
_DEFAULTS, _POOL = Timeouts(), PoolSize()

_STRAY_MARK = (
    "A database address has an @ behind its host, so its password probably holds @, / or #. In an address these are "
    "written as %40, %2F and %23, a % as %25, a : as %3A and a ? as %3F."
)


def open_engine(url: SecretStr, timeouts: Timeouts = _DEFAULTS, pool: PoolSize = _POOL) -> Engine:
    """Return an engine for a database address; it connects when first used.

    Args:
        url: The address.
        timeouts: How long its callers wait at most; those in the address take precedence.
        pool: The number of its connections.

    Raises:
        ConfigError: If the address is not valid, or needs a driver that is not installed.
    """
    # No message may contain the address: it may hold a password.
    try:
        parsed = make_url(url.get_secret_value())
        if has_stray_mark(parsed):
            raise ConfigError(_STRAY_MARK)
        return _engine(parsed, timeouts, pool)
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
        raise _away(error)(msg)
    with translated(engine, error), _watched(engine) as call, engine.connect() as connection:
        connection.execution_options(**dialect.read_only_options)
        _attach(call, dialect, connection.connection.dbapi_connection)
        call.rest()
        yield connection


@contextmanager
def writing(engine: Engine, error: type[PlumblineError] = StoreError) -> Iterator[Connection]:
    """Open a transaction that commits at its end; database errors are raised as `error`, with nothing written."""
    refuse_writes(engine, error)
    with translated(engine, error), _watched(engine) as call, engine.begin() as connection:
        _attach(call, dialect_of(engine), connection.connection.dbapi_connection)
        call.rest()
        yield connection


def refuse_writes(engine: Engine, error: type[PlumblineError]) -> None:
    """Raise `error` if this kind of database is only read."""
    reason = dialect_of(engine).why_read_only
    if reason is not None:
        raise error(reason)


@contextmanager
def translated(engine: Engine, error: type[PlumblineError]) -> Iterator[None]:
    """Raise database errors as one sentence of class `error`, without password or parameters."""
    driver: Any = engine.dialect.loaded_dbapi
    try:
        yield
    except StatementError as exc:
        raise _error_of(error, engine, exc, str(exc.orig)) from exc
    except driver.Error as exc:  # of a connection without SQLAlchemy
        raise _error_of(error, engine, exc, str(exc)) from exc
    except PoolTimeout as exc:
        raise _away(error)(failure(engine.url, str(exc))) from exc


def failure(url: URL, detail: str) -> str:
    """Return the sentence for a driver's error: the database, the reason and what to do about it."""
    return dialect_of(url).failure(url, detail)


def _error_of(error: type[PlumblineError], engine: Engine, cause: Exception, detail: str) -> PlumblineError:
    """Return the error for a driver's error; waits for a source, and sources that are away, have their own classes."""
    if error is SourceError and dialect_of(engine).is_wait(detail):
        error = SourceTimeout
    elif any(base.__name__ in _AWAY for base in type(cause).__mro__) and dialect_of(engine).is_away(detail):
        error = _away(error)
    return error(failure(engine.url, detail))


def _away(error: type[PlumblineError]) -> type[PlumblineError]:
    """Return the class of errors for a database that cannot be reached."""
    return SourceAway if error is SourceError else error


def timeouts_of(engine: Engine) -> Timeouts:
    """Return the timeouts of an engine."""
    timeouts: Timeouts = engine.get_execution_options().get(TIMEOUTS, _DEFAULTS)
    return timeouts


def _engine(url: URL, timeouts: Timeouts, pool: PoolSize) -> Engine:
    dialect = dialect_of(url)
    options = dialect.engine_options(url, timeouts)
    if "poolclass" not in options and not dialect.is_in_memory(url):
        options |= {"pool_size": pool.kept, "max_overflow": pool.more, "pool_timeout": timeouts.lock.total_seconds()}
    engine = create_engine(
        dialect.with_driver(url), hide_parameters=True, execution_options={TIMEOUTS: timeouts}, **options
    )
    dialect.prepare_engine(engine, timeouts)
    _note_steps(engine, dialect)
    return engine


def _watched(engine: Engine) -> AbstractContextManager[Call]:
    return CALLS.in_progress(timeouts_of(engine).statement.total_seconds(), display_name(engine.url))


def _attach(call: Call, dialect: Dialect, connection: Any) -> None:
    """Let other threads end a call, now that it has a connection of the driver."""
    call.cancel, call.sever = partial(dialect.cancel, connection), partial(dialect.sever, connection)


def _note_steps(engine: Engine, dialect: Dialect) -> None:
    """Note in the call of the thread when each step begins and ends."""
    for name in ("before_cursor_execute", "commit", "rollback"):
        event.listen(engine, name, _begin_step)
    if not dialect.reads_rows_lazily:
        event.listen(engine, "after_cursor_execute", _end_step)
    ping = engine.dialect.do_ping

    def attached_ping(dbapi_connection: Any) -> bool:
        call = current_call()
        if call is not None:
            _attach(call, dialect, dbapi_connection)
        return ping(dbapi_connection)

    engine.dialect.do_ping = attached_ping  # type: ignore[method-assign]


def _begin_step(*_: Any) -> None:
    call = current_call()
    if call is not None:
        call.proceed()


def _end_step(*_: Any) -> None:
    call = current_call()
    if call is not None:
        call.rest()
