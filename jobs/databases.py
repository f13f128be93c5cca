"""Engines with the settings of a service, their transactions, and database errors as our own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus
from zlib import crc32

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from schemas.errors import ConfigError, PlumblineError, StoreError

_BUSY_SECONDS = 30
_CONNECT_SECONDS = 10
TEXT_SUM = "plumbline_text_sum"  # a function that SQLite is given: a number for each text
_MASK = "***"
_LONG = 6  # characters of a password that is masked wherever it stands; a shorter one is part of many a word

# Options of an address whose values may be shown; any other may hold a secret.
_HARMLESS = re.compile(
    r"application_name|cache|charset|check_same_thread|client_encoding|collation|(connect_|read_|write_)?timeout|dbname|"
    r"driver|encrypt|fallback_application_name|gssencmode|host|hostaddr|immutable|keepalives\w*|mode|nolock|options|port|"
    r"require_auth|service|sslcert|sslkey|sslmode|sslrootcert|target_session_attrs|trustservercertificate|unix_socket|"
    r"uri|user|vfs",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(://[^\s:/@]*:)\S*@")
_IN_PAIR = r"((?:{})\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s&;,]+)"
_ALWAYS_MASKED = r"passw(?:or)?d|passphrase|pwd|secret|token"

# The package that brings a driver's module.
_PACKAGES = {
    "MySQLdb": "mysqlclient",
    "oracledb": "oracledb",
    "psycopg2": "psycopg2-binary",
    "pymssql": "pymssql",
    "pymysql": "PyMySQL",
    "pyodbc": "pyodbc",
}

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
    (r"objects depend on it", "Drop those first, and create them again afterwards"),
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
        hint = f"Install it: pip install {_PACKAGES[exc.name]}" if exc.name in _PACKAGES else "Install it first."
        msg = f"The driver {exc.name!r} for {parsed.drivername!r} is not installed. {hint}"
        raise ConfigError(msg) from None


def display_name(url: URL) -> str:
    """The address without its password, and without the values of options that may be secret."""
    shown = url.update_query_dict(dict.fromkeys(_secret_options(url), _MASK))
    return shown.render_as_string(hide_password=True).replace(quote(_MASK), _MASK)


def has_password(url: SecretStr) -> bool:
    """Whether a database address holds a password, or an option that may be one."""
    try:
        parsed = make_url(url.get_secret_value())
    except (ArgumentError, ValueError):  # who opens it says what is wrong with it
        return True
    return bool(parsed.password) or bool(_secret_options(parsed))


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
    first_line = _without_secrets(detail.strip().split("\n")[0], url)
    reason = " ".join(first_line.split()).rstrip(".")
    advice = next((text for pattern, text in _ADVICE if re.search(pattern, reason, re.IGNORECASE)), None)
    return f"The database {display_name(url)} refused: {reason}." + (f" {advice}." if advice else "")


def _secret_options(url: URL) -> list[str]:
    return [name for name in url.query if not _HARMLESS.fullmatch(name)]


def _without_secrets(text: str, url: URL) -> str:
    """A text without the address's secrets: what stands in their places of an address, and long ones anywhere."""
    options = _secret_options(url)
    secrets = [str(url.password or ""), *(part for name in options for part in url.normalized_query[name])]
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    for form in sorted(forms, key=len, reverse=True):  # one may be part of another
        if len(form) >= _LONG:
            text = text.replace(form, _MASK)
    names = "|".join([_ALWAYS_MASKED, *map(re.escape, options)])
    text = re.sub(_IN_PAIR.format(names), rf"\1{_MASK}", text, flags=re.IGNORECASE)
    return _IN_ADDRESS.sub(rf"\1{_MASK}@", text)


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


def _text_sum(text: str) -> int:
    return crc32(text.encode(errors="surrogateescape"))


def _prepare_sqlite(engine: Engine) -> None:
    """Make every transaction state its kind, as the driver's own would lock only at the first write.

    Two readers that both turn writers cannot wait for each other, so SQLite fails one of them at once;
    BEGIN IMMEDIATE makes a writer wait for its turn at the start instead.
    """

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.create_function(TEXT_SUM, 1, _text_sum, deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        is_read_only = connection.get_execution_options().get("plumbline_read_only", False)
        connection.exec_driver_sql(f"PRAGMA query_only = {int(is_read_only)}")
        connection.exec_driver_sql("BEGIN DEFERRED" if is_read_only else "BEGIN IMMEDIATE")
