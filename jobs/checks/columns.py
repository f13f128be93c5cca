"""Checks of the columns: their types, and the forms of their values."""

from collections.abc import Iterator

import pandas as pd
from sqlalchemy import Connection, String, cast, func, select

from jobs.checks.finding import Finding
from jobs.checks.samples import first_example, newest_records
from jobs.databases import reading
from jobs.dialects import Family
from jobs.dialects.families import NUMBERS, TIMES
from jobs.dialects.type_advice import conversion_advice
from jobs.kinds import kind_of
from jobs.reading.source import Source
from jobs.reading.table import WatchedTable
from jobs.reading.text_forms import disguise_of
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.frames import FORMS, Form
from schemas.keys import key_label

_NUMBERS: set[Family] = {*NUMBERS, "boolean", "unknown"}
_TIMES: set[Family] = {*TIMES, "unknown"}


def check_types(monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report columns whose type does not fit what they are listed as, and types that are read as texts."""
    # SQLite keeps times as texts
    times: set[Family] = _TIMES | {"text"} if watched.dialect.has_dynamic_types else _TIMES
    fitting_forms: dict[Form, set[Family]] = {"number": _NUMBERS, "truth": _NUMBERS, "time": times}
    roles = (
        *((kind, names, fitting_forms.get(FORMS[kind])) for kind, names in monitor.features.by_type().items()),
        ("time", (monitor.time,), times),
        ("updated", (monitor.updated,), times | {"integer"}),  # a number that grows with each change is enough
        ("label", (monitor.label,), _NUMBERS),
    )
    for role, names, fitting in roles:
        for column in (watched.columns[name] for name in names if name is not None):
            if fitting is not None and column.family not in fitting:
                yield Finding(
                    "error",
                    f"Column {column.name!r} is listed as {role}, but its type is {column.type.lower()}. "
                    + conversion_advice(column.name, column.type, role),
                )
    yield from _texts(monitor, watched)


def _texts(monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report categories and entities of a type without a form of its own: they are read as text."""
    for name in dict.fromkeys((*monitor.features.categorical, monitor.entity)):
        if name is not None and watched.columns[name].family == "other":
            yield Finding(
                "warning",
                f"Column {name!r} is of type {watched.columns[name].type.lower()}, and is read as its text: two values "
                "are the same if their texts are. If that is not what you mean, convert it in a query.",
            )


def check_times(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report values among the newest that are no times, and times that only Plumbline reads."""
    dialect = watched.dialect
    for name in dict.fromkeys((monitor.time, *monitor.features.holding("time"))):
        if name is None:
            continue
        newest, columns = newest_records(watched, name), (name, *watched.key)
        if (example := first_example(connection, newest, columns, dialect.is_no_time(newest.c[name]))) is not None:
            value, *key = example
            yield Finding(
                "warning",
                f"Column {name!r} holds {value!r}, which is not read as a time, in the record with the key "
                f"{key_label(tuple(key))}. {dialect.time_advice(value)}.",
            )
        if (example := first_example(connection, newest, columns, dialect.is_foreign_time(newest.c[name]))) is not None:
            yield Finding(
                "warning",
                f"Column {name!r} holds times such as {example[0]!r}, which Plumbline reads and the functions of "
                f"{dialect.title} do not, so that conditions and dashboards may miss them. "
                "Write times like '2026-01-31 08:00:00', in UTC.",
            )


def check_time_forms(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report times of a series in more than one form, if the database orders them as texts."""
    if monitor.time is None or monitor.time not in kind_of(monitor).past_columns(monitor):
        return
    time = watched.records.c[monitor.time]
    form = watched.dialect.written_form(time)
    if form is None:
        return
    examples = select(func.min(cast(time, String))).where(time.is_not(None)).group_by(*form).limit(2)
    forms = connection.scalars(examples).all()
    if len(forms) > 1:
        yield Finding(
            "error",
            f"The column {monitor.time!r} holds times in more than one form, such as {' and '.join(map(repr, forms))}, "
            f"which {watched.dialect.title} does not order by time. Write all in one form, such as "
            "'2026-01-31 08:00:00.000000', in UTC.",
        )


def check_texts(monitor: MonitorConfig, watched: WatchedTable, records: pd.DataFrame) -> Iterator[Finding]:
    """Report columns of texts that look like numbers or times, by a sample of the records."""
    texts: set[Family] = {"text", "unknown"}
    for name in monitor.features.holding("text"):
        if watched.columns[name].family not in texts:  # a number by its type: its owner made it a category
            continue
        disguise = disguise_of(records[name].dropna())
        if disguise is not None:
            yield Finding(
                "warning",
                f"Column {name!r} is listed as categorical, and holds {disguise.description}. Each of them is a "
                "category of its own, and a new one is anomalous. Convert the column, in the table or in a `query`.",
            )


def check_entities(source: Source, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report entities that the database cannot compare, if the past of a record is searched for by them."""
    name = monitor.entity
    if name is None or name not in kind_of(monitor).past_columns(monitor):
        return
    entity, declared = watched.records.c[name], watched.columns[name].type.lower()
    one = select(entity).where(entity.is_not(None)).limit(1).scalar_subquery()
    try:
        with reading(source.engine, SourceError) as connection:
            connection.execute(select(entity).where(entity == one).distinct().limit(1)).first()
    except SourceError as exc:
        yield Finding(
            "error",
            f"The entity {name!r} is of type {declared}, whose values {watched.dialect.title} does not compare: {exc} "
            "Convert it to text in a query, or name another column as `entity`.",
        )
