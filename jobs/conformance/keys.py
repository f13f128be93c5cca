"""Aspects of keys: their order, ranges, equality and fingerprints."""

from collections.abc import Iterator

from jobs.conformance.outcome import Seen, as_expected
from jobs.conformance.sample import Sample
from jobs.reading.checksums import checksums
from jobs.reading.source import Source, keys_of
from schemas.keys import Key, KeyRange, dump_key, key_label, load_key

_PAGE_SIZES = (37, 100)
_NEIGHBOURS = 5


def key_types(sample: Sample) -> Seen:
    """Check that every column of the key has a type with an order."""
    unordered = sample.table.dialect.unordered_families
    columns = [sample.table.columns[name] for name in sample.monitor.key]
    listed = ", ".join(f"{column.name} {column.type.lower() or 'of no reported type'}" for column in columns)
    wrong = [column.name for column in columns if column.family in unordered]
    return as_expected(listed, if_not=f"{listed}: {wrong[0] if wrong else ''} has no order", is_met=not wrong)


def key_order(sample: Sample) -> Seen:
    """Check that comparisons follow the order: between two neighbours lies nothing, whether or not it can be read."""
    keys = sample.all_keys
    step = max(1, (len(keys) - 1) // _NEIGHBOURS)
    pairs = [(keys[at], keys[at + 1]) for at in range(0, len(keys) - 1, step)]
    wrong = [first for first, second in pairs if sample.source.count(KeyRange(first, second)) != 1]
    after = f"past {key_label(wrong[0])} the next key is not the only one up to itself" if wrong else ""
    return as_expected(f"{len(pairs)} pairs of neighbours", if_not=f"{after}: ORDER BY and > differ", is_met=not wrong)


def key_equality(sample: Sample) -> Seen:
    """Check that a record is found by its key, also after the key was kept as text."""
    keys = sample.keys[:: max(1, len(sample.keys) // 50)]
    found = keys_of(sample.source.read_keys([load_key(dump_key(key)) for key in keys]), sample.monitor.key)
    missing = [key for key in keys if key not in found]
    example = f", such as {key_label(missing[0])}" if missing else ""
    return as_expected(
        f"{len(keys)} records found by their keys",
        if_not=f"{len(missing)} of {len(keys)} records are not found by their keys{example}",
        is_met=not missing,
    )


def paging(sample: Sample) -> Seen:
    """Check that pages of any size hold the same records, none twice."""
    pages = {size: _paged(sample, size) for size in _PAGE_SIZES}
    is_met = all(keys == sample.keys for keys in pages.values())
    sizes = " and ".join(map(str, pages))
    counts = ", ".join(f"{len(keys)} in pages of {size}" for size, keys in pages.items())
    expected = f"expected {len(sample.keys)} records, received {counts}, or another order"
    return as_expected(f"the same records in pages of {sizes}", if_not=expected, is_met=is_met)


def range_counts(sample: Sample) -> Seen:
    """Check that the counts of adjacent ranges add up to that of the whole, and to what is read."""
    middle = sample.keys[len(sample.keys) // 2]
    parts = [KeyRange(None, middle), KeyRange(middle, sample.keys[-1])]
    counts = [sample.source.count(part) for part in parts]
    read = [len(sample.source.read(part, left_out=[])) for part in parts]
    whole = sample.source.count(KeyRange(None, sample.keys[-1]))
    detail = f"{counts[0]} + {counts[1]} = {whole} records"
    is_met = sum(counts) == whole and all(n <= count for n, count in zip(read, counts, strict=True))
    return as_expected(detail, if_not=f"{detail}; read {read}", is_met=is_met)


def fingerprints(sample: Sample) -> Seen:
    """Check that a fingerprint repeats, and whether it notices more than a change of the count."""
    first, second = (sample.source.fingerprint(sample.whole) for _ in range(2))
    if first.differs_from(second):
        return Seen("fails", f"two fingerprints of one range differ: {first}, {second}")
    columns = (*sample.monitor.key, *([sample.monitor.updated] if sample.monitor.updated else []))
    if len(checksums(sample.table, sample.monitor)) < len(set(columns)):
        detail = "no checksum of this type: late and vanished records are found by their count, corrections not"
        return Seen("limited", detail)
    return Seen("works", f"checksum of {', '.join(dict.fromkeys(columns))}")


def past_of_entities(sample: Sample) -> Seen:
    """Check that the past of a record holds earlier records of its entity alone."""
    monitor = sample.monitor
    if monitor.time is None or monitor.entity is None:
        return Seen("works", "not needed without `time` and `entity`")
    dated = sample.records[sample.records[monitor.time].notna() & sample.records[monitor.entity].notna()]
    if dated.empty:
        return Seen("limited", "no record of the sample has a time and an entity")
    last = dated.iloc[-1]
    past = sample.source.read_past(keys_of(dated.tail(1), monitor.key)[0], 20)
    is_met = bool(
        (past[monitor.entity] == last[monitor.entity]).all() and (past[monitor.time] <= last[monitor.time]).all()
    )
    wrong = "the past of a record holds later records, or those of another entity"
    return as_expected(f"{len(past)} earlier records of one entity", if_not=wrong, is_met=is_met)


def _paged(sample: Sample, size: int) -> list[Key]:
    source = Source(sample.source.name, sample.monitor.model_copy(update={"batch_size": size}), sample.source.engine)
    try:
        return list(_keys(source, sample))
    finally:
        source.close()


def _keys(source: Source, sample: Sample) -> Iterator[Key]:
    for page in source.pages(None, sample.keys[-1], left_out=[]):
        yield from keys_of(page, sample.monitor.key)
