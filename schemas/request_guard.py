"""Triggers that guard the retrain requests, which the least privileged users may insert.

The database itself refuses a request for a monitor that the store does not have, and a flood of requests for one.
"""

from sqlalchemy import Connection

MAX_REQUESTS_PER_HOUR = 60
"""Number of requests for one monitor within an hour: one training serves all that wait."""

GUARD = "guard_retrain_requests"
UNKNOWN = "There is no monitor of this name in the store. See: plumbline monitors list"
FLOOD = (
    f"This monitor has had {MAX_REQUESTS_PER_HOUR} retrain requests within an hour. One training serves all of them."
)

_IS_UNKNOWN = """NOT EXISTS (SELECT 1 FROM {schema}monitors WHERE monitor = NEW.monitor)
    AND NOT EXISTS (SELECT 1 FROM {schema}models WHERE monitor = NEW.monitor)"""
_IS_FLOOD = (
    """(SELECT count(*) FROM {schema}retrain_requests WHERE monitor = NEW.monitor AND requested_at > {hour_ago}) """
    f">= {MAX_REQUESTS_PER_HOUR}"
)

_SQLITE = f"""CREATE TRIGGER {GUARD} BEFORE INSERT ON retrain_requests BEGIN
    SELECT RAISE(ABORT, '{UNKNOWN}') WHERE {_IS_UNKNOWN};
    SELECT RAISE(ABORT, '{FLOOD}') WHERE {_IS_FLOOD};
END"""

# The function runs with the rights of its owner, as the inserting user may not read the tables.
_POSTGRESQL = f"""CREATE FUNCTION {{schema}}{GUARD}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF {_IS_UNKNOWN} THEN
        RAISE EXCEPTION '{UNKNOWN}' USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF {_IS_FLOOD} THEN
        RAISE EXCEPTION '{FLOOD}' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$"""

_MYSQL = f"""CREATE TRIGGER {GUARD} BEFORE INSERT ON retrain_requests FOR EACH ROW BEGIN
    IF {_IS_UNKNOWN} THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{UNKNOWN}';
    END IF;
    IF {_IS_FLOOD} THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{FLOOD}';
    END IF;
END"""


def create_guard(connection: Connection) -> None:
    """Create the trigger; databases other than SQLite, PostgreSQL, MySQL and MariaDB have none."""
    for statement in _statements(connection):
        connection.exec_driver_sql(statement.replace("%", "%%"))


def drop_guard(connection: Connection) -> None:
    """Drop the trigger if it exists."""
    if connection.dialect.name == "postgresql":
        schema = _schema(connection)
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {GUARD} ON {schema}retrain_requests")
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {schema}{GUARD}()")
    elif connection.dialect.name in {"sqlite", "mysql", "mariadb"}:
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {GUARD}")


def _statements(connection: Connection) -> list[str]:
    name = connection.dialect.name
    if name == "sqlite":
        return [_SQLITE.format(schema="", hour_ago="datetime('now', '-1 hour')")]
    if name in {"mysql", "mariadb"}:
        return [_MYSQL.format(schema="", hour_ago="UTC_TIMESTAMP() - INTERVAL 1 HOUR")]
    if name != "postgresql":
        return []
    schema = _schema(connection)
    trigger = f"CREATE TRIGGER {GUARD} BEFORE INSERT ON {schema}retrain_requests FOR EACH ROW"
    hour_ago = "pg_catalog.now() - INTERVAL '1 hour'"
    return [
        _POSTGRESQL.format(schema=schema, hour_ago=hour_ago),
        f"{trigger} EXECUTE FUNCTION {schema}{GUARD}()",
    ]


def _schema(connection: Connection) -> str:
    """Return the schema of our tables, quoted and with a dot."""
    schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    return f"{connection.dialect.identifier_preparer.quote_identifier(str(schema))}."
