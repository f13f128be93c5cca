"""Code that depends on the database stands in `jobs.dialects`, and a database without a dialect gets plain SQL."""

import ast
from pathlib import Path

import pytest
from sqlalchemy import column, make_url

from jobs.dialects import Dialect, dialect_of

ROOT = Path(__file__).parents[2]
NAMES = {"sqlite", "postgresql", "postgres", "mysql", "mariadb", "psycopg", "duckdb"}

# Modules outside `jobs/dialects` that name a database, and why; alembic/ is not read, since migrations do not change.
ALLOWED = {
    "schemas/column_types.py": "types and indexes of the store's tables, which Alembic compares without jobs",
    "schemas/views.py": "the SQL of one function in the store's views, by SQLAlchemy's @compiles",
    "schemas/request_guard.py": "the trigger on a table of the store, which Alembic creates without jobs",
    "schemas/config.py": "a relative file is relative to config.toml, before any database is opened",
}


def is_branch(node):
    """Return whether a piece of code names a database, or reads the name or the driver of SQLAlchemy's dialect."""
    match node:
        case ast.Constant(value=str(text)):
            return text in NAMES
        case ast.Attribute(attr="get_backend_name"):
            return True
        case ast.Attribute(value=ast.Name(id="dialect") | ast.Attribute(attr="dialect"), attr="name" | "driver"):
            return True
        case ast.ImportFrom(module=str(module)):
            return module.startswith("sqlalchemy.dialects")
        case ast.keyword(arg=str(name)):
            return name.startswith(tuple(f"{database}_" for database in NAMES))
    return False


def branches():
    files = [path for folder in ("jobs", "detector", "schemas") for path in (ROOT / folder).rglob("*.py")]
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("jobs/dialects/"):
            yield from ((name, node) for node in ast.walk(ast.parse(path.read_text())) if is_branch(node))


def test_no_code_outside_the_dialects_depends_on_a_database():
    lines = [f"{name}:{node.lineno}" for name, node in branches() if name not in ALLOWED]
    assert not lines, "ask jobs.dialects.dialect_of instead"


def test_every_allowance_is_needed():
    assert {name for name, _ in branches()} == set(ALLOWED)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("sqlite:///a.db", "SQLite"),
        ("postgres://host/a", "PostgreSQL"),
        ("postgresql+psycopg2://host/a", "PostgreSQL"),
        ("mariadb+pymysql://host/a", "MySQL"),
        ("duckdb:////data/plant.duckdb", "DuckDB"),
        ("oracle://host/a", "Dialect"),
    ],
)
def test_an_address_names_its_dialect(address, name):
    assert type(dialect_of(make_url(address))).__name__ == name


def test_a_database_without_a_dialect_sums_up_integers_and_has_no_grid_of_time():
    dialect = Dialect("oracle")
    assert str(dialect.checksum(column("id"), "integer")) == "id % :id_1"
    assert dialect.checksum(column("at"), "instant") is None
    assert dialect.epoch_times(None, None, "at", "instant") is None
    assert dialect.open_reader(None) is None
