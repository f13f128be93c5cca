"""The SQL views that dashboards query, written once for all databases.

Views hold no rows of their own, so each migration creates them again. A view of the same name that others created is
never dropped: ours are recognised by the tables that they read.
"""

import re
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Double,
    FromClause,
    MetaData,
    Select,
    Table,
    and_,
    case,
    cast,
    func,
    inspect,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.ddl import CreateView, DropView
from sqlalchemy.sql.functions import FunctionElement

from schemas.tables import anomalies, batch_hours, drift_features, drifts, incidents

SOURCE_PREFIX = "source_"

# What follows FROM in the definition of a view of ours, as a database returns it.
_OURS = re.compile(r"\bfrom\s*\(*([^\s()]+\.)?(anomalies|incidents|batch_hours|drifts)\b", re.IGNORECASE)
_OURS_JOINED = re.compile(r"\bfrom\s*\(*([^\s()]+\.)?anomalies\s+join\b", re.IGNORECASE)

_NOT_JOINED = {"monitor", "record_key_int", "superseded_at", "entity_position", "in_row"}


class DayAgo(FunctionElement[Any]):
    """The time 24 hours ago by the database's clock, in the form of its time columns."""

    type = DateTime()
    inherit_cache = True


@compiles(DayAgo)
def _day_ago(_element: DayAgo, _compiler: SQLCompiler, **_: Any) -> str:
    return "(CURRENT_TIMESTAMP - INTERVAL '24' HOUR)"


@compiles(DayAgo, "sqlite")
def _day_ago_sqlite(_element: DayAgo, _compiler: SQLCompiler, **_: Any) -> str:
    return "datetime('now', '-24 hours')"


@compiles(DayAgo, "mysql")
@compiles(DayAgo, "mariadb")
def _day_ago_mysql(_element: DayAgo, _compiler: SQLCompiler, **_: Any) -> str:
    return "(UTC_TIMESTAMP() - INTERVAL 24 HOUR)"


def open_anomalies() -> Select[Any]:
    """Select the anomalies that have no label yet, newest first."""
    c = anomalies.c
    shown = (c.id, c.monitor, c.record_key, c.record_time, c.entity, c.severity, c.top_feature)
    more = (c.anomaly_score, c.threshold, c.p_value, c.attribution, c.model_id, c.batch_id, c.flagged_at)
    is_open = and_(c.label == "open", c.superseded_at.is_(None))
    newer = (c.incident_id, c.is_muted, c.reconstruction_error, c.elbo, c.suppressed_by, c.raised_by)
    return select(*shown, *more, *newer).where(is_open).order_by(c.id.desc())


def open_incidents() -> Select[Any]:
    """Select the incidents that may be ongoing, newest first."""
    c = incidents.c
    when = (c.id, c.monitor, c.entity, c.start_time, c.end_time, c.records, c.top_feature)
    peak = (c.peak_time, c.peak_score, c.peak_severity, c.causes, c.is_muted, c.held_back, c.suppressed_by, c.raised_by)
    return select(*when, *peak).where(c.state == "open").order_by(c.id.desc())


def drift_by_feature() -> Select[Any]:
    """Select the drift of each feature and of the p-values from the training records, by assessment."""
    d, f = drifts.c, drift_features.c
    of_scores = (d.ks_statistic, d.ks_p_value, d.is_drift)
    return select(
        d.monitor, d.assessed_at, d.model_id, d.from_batch, d.upto_batch, d.records, f.feature, f.psi, *of_scores
    ).select_from(drifts.join(drift_features, d.id == f.drift_id))


def hourly_rates() -> Select[Any]:
    """Select the numbers of scored records and anomalies, and their ratio, by hour of record time."""
    c = batch_hours.c
    records, flagged = func.sum(c.records), func.sum(c.anomalies)
    rate = case((records > 0, cast(flagged, Double) / records))
    return select(
        c.monitor, c.hour, records.label("records"), flagged.label("anomalies"), rate.label("anomaly_rate")
    ).group_by(c.monitor, c.hour)


def top_features_last_day() -> Select[Any]:
    """Count how often each feature was the main cause of an anomaly flagged in the last 24 hours."""
    c = anomalies.c
    count = func.count().label("anomalies")
    return (
        select(c.monitor, c.top_feature, count, func.max(c.severity).label("max_severity"))
        .where(c.flagged_at >= DayAgo(), c.superseded_at.is_(None))
        .group_by(c.monitor, c.top_feature)
    )


def joined_anomalies(monitor: str, records: FromClause, on: ColumnElement[bool], names: list[str]) -> Select[Any]:
    """Select the anomalies of a monitor next to the columns of their records.

    Args:
        monitor: its name.
        records: the watched table or query.
        on: the condition that an anomaly belongs to a record.
        names: columns of `records`; a column with the name of one of ours gets the prefix ``source_``.
    """
    ours = [column for column in anomalies.c if column.name not in _NOT_JOINED]
    taken = {column.name for column in ours}
    theirs = [
        records.c[name].label(_free_name(name, taken | set(names))) if name in taken else records.c[name]
        for name in names
    ]
    is_current = and_(anomalies.c.monitor == monitor, anomalies.c.superseded_at.is_(None))
    return select(*ours, *theirs).select_from(anomalies.join(records, and_(is_current, on)))


def joined_name(monitor: str) -> str:
    """Return the name of a monitor's view of anomalies next to their records."""
    return f"anomalies_{monitor}"


VIEWS = (open_anomalies, open_incidents, hourly_rates, top_features_last_day, drift_by_feature)


def create_views(connection: Connection) -> None:
    """Create the views that every store has, in place of existing ones."""
    for view in VIEWS:
        replace_view(connection, view.__name__, view())


def drop_views(connection: Connection) -> None:
    """Drop the views that every store has."""
    for view in VIEWS:
        drop_own_view(connection, view.__name__)


def replace_view(connection: Connection, name: str, statement: Select[Any]) -> None:
    """Create a view in place of ours of that name, whose columns may differ."""
    drop_own_view(connection, name)
    connection.execute(CreateView(statement, name))


def drop_own_view(connection: Connection, name: str) -> None:
    """Drop a view if it exists and is ours."""
    if _is_ours(connection, name):
        drop_view(connection, name)


def is_taken(connection: Connection, name: str) -> bool:
    """Return whether a table, or a view that others created, has the name of a view of ours."""
    return has_table(connection, name) and not _is_ours(connection, name)


def has_table(connection: Connection, name: str) -> bool:
    """Return whether a table or a view of any kind in our schema has the name."""
    inspector = inspect(connection)
    return inspector.has_table(name, inspector.default_schema_name)


def drop_view(connection: Connection, name: str) -> None:
    """Drop a view if it exists."""
    connection.execute(DropView(Table(name, MetaData()), if_exists=True))


def _is_ours(connection: Connection, name: str) -> bool:
    """Return whether our schema has a view of the name that reads the same tables as ours."""
    inspector = inspect(connection)
    schema = inspector.default_schema_name
    names = inspector.get_view_names(schema)
    # Some databases ignore the case of a name; in the others, a name of another case is never dropped for ours.
    actual = {other.lower(): other for other in names} | {other: other for other in names}
    if name not in actual:
        return False
    definition = re.sub(r'["`]', "", inspector.get_view_definition(actual[name], schema))
    ours = _OURS_JOINED if name.startswith(joined_name("")) else _OURS
    return ours.search(definition) is not None


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name = SOURCE_PREFIX + name
    return name
