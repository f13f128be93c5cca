"""Aspects of values: types, names, integers, texts and nulls."""

from sqlalchemy import BigInteger, Integer, String, bindparam, case, literal, null, select, union_all

from jobs.conformance.outcome import Seen, as_expected
from jobs.conformance.sample import Sample
from jobs.databases import reading
from jobs.reading.table import required_columns
from schemas.errors import SourceError

_BIG = 2**53 + 1  # the first integer that a float does not hold
_UNLIKE = (("a", "A"), ("a", "a "), ("e", "é"))


def description(sample: Sample) -> Seen:
    """Check that the table is found and the types of its columns are known."""
    names = required_columns(sample.monitor)
    columns = [sample.table.columns[name] for name in names]
    unknown = [column.name for column in columns if column.family in {"other", "unknown"}]
    if unknown:
        detail = f"the types of {', '.join(unknown)} are unknown: values are taken as they come"
        return Seen("limited", detail)
    return Seen("works", f"{len(names)} columns by their names, each of a known type")


def values(sample: Sample) -> Seen:
    """Check that the sample can be read."""
    readable, count = len(sample.records), sample.source.count(sample.whole)
    if readable < count:
        return Seen("limited", f"{count - readable} of {count} records cannot be read: plumbline check")
    return Seen("works", f"{count} records read in the types of the configuration")


def integers(sample: Sample) -> Seen:
    """Check that a large integer passes both ways without loss."""
    with reading(sample.source.engine, SourceError) as connection:
        received = connection.scalar(select(bindparam("big", _BIG, type_=BigInteger())))
    return as_expected(f"{_BIG} is exact", if_not=f"sent {_BIG}, received {received}", is_met=received == _BIG)


def texts(sample: Sample) -> Seen:
    """Check that texts are equal only if all of their characters are."""
    same = sample.table.dialect.is_same_text
    pairs = [same(literal(left, String(10)), literal(right, String(10))) for left, right in _UNLIKE]
    with reading(sample.source.engine, SourceError) as connection:
        merged = connection.execute(select(*(case((pair, 1), else_=0) for pair in pairs))).one()
    alike = [f"{left!r} = {right!r}" for (left, right), is_same in zip(_UNLIKE, merged, strict=True) if is_same]
    if alike:
        detail = f"{', '.join(alike)}: names that differ only so are one entity; give the column an exact collation"
        return Seen("limited", detail)
    return Seen("works", "case, accents and trailing blanks count")


def nulls(sample: Sample) -> Seen:
    """Report the place of nulls in an order; a key has none, so either will do."""
    both = union_all(select(literal(1, Integer).label("n")), select(null().label("n"))).subquery("nulls")
    with reading(sample.source.engine, SourceError) as connection:
        first = connection.scalar(select(both.c.n).order_by(both.c.n).limit(1))
    return Seen("works", f"nulls sort {'last' if first == 1 else 'first'}; keys have none")
