"""Writes a proposed monitor as a section of the configuration."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from jobs.starter.entities import GAP_STEPS
from jobs.starter.proposing import Proposal
from jobs.wording import counted_noun, percent, toml_text
from schemas.config import MonitorConfig

_LINE_LENGTH = 110
_USUAL_GAPS = 3  # after which a source has stopped sending
_SETTLE = timedelta(minutes=1)
_PERIODS = (("day", 1), ("week", 7), ("month", 30), ("year", 365))
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def monitor_text(proposal: Proposal, address: str) -> str:
    """Return the section of a monitor.

    Args:
        proposal: the monitor.
        address: the lines of its `source`; empty for the store's database.
    """
    lines = [
        f"[monitors.{proposal.name}]\n{address}{_records(proposal)}",
        *_identity(proposal),
        *_features(proposal),
        *_normal(proposal),
        *_rate(proposal),
        *_pace(proposal),
        *_series(proposal),
    ]
    return "\n".join(lines) + "\n"


def rate_in_words(proposal: Proposal) -> str:
    """Return how many normal records a day or longer would be flagged, or their share if the table has no time."""
    rate = proposal.rate
    if rate.per_day is None or rate.flags_per_day is None:
        return f"{percent(rate.value)} of the normal records by chance"
    period, days = next((name, days) for name, days in _PERIODS if days * rate.flags_per_day >= 1 or name == "year")
    flags, records = (
        f"{count:,.0f}" if count >= 10 else f"{count:.2g}" for count in (days * rate.flags_per_day, days * rate.per_day)
    )
    return f"about {flags} a {period} by chance, of {records} records"


def _records(proposal: Proposal) -> str:
    query = proposal.query
    return (
        f"table = {toml_text(proposal.table)}" if query is None else f"# {query.note}\nquery = {_toml_block(query.sql)}"
    )


def _identity(proposal: Proposal) -> Iterator[str]:
    columns, reason = proposal.key.columns, proposal.key.reason
    comment = f"  # {reason}" if reason else ""
    yield f"key = {toml_text(columns[0]) if len(columns) == 1 else _toml_list(columns)}{comment}"
    if proposal.times.time is not None:
        yield f"time = {toml_text(proposal.times.time)}"
    if proposal.times.updated is not None:
        yield f"updated = {toml_text(proposal.times.updated)}  # time of a record's last change, to find corrections"
    if proposal.entity is not None:
        yield f"entity = {toml_text(proposal.entity)}  # what a record is about"
    else:
        yield '# entity = "machine_id"  # the column with what a record is about'


def _features(proposal: Proposal) -> Iterator[str]:
    yield "# Remove columns that are filled in only later, such as a diagnosis or a repair."
    yield from (f"{role} = {_toml_list(names)}" for role, names in proposal.columns.features.items() if names)
    if proposal.columns.left_out:
        yield "# Left out:"
        yield from (f"#   {toml_text(name)}: {why}" for name, why in proposal.columns.left_out.items())


def _normal(proposal: Proposal) -> Iterator[str]:
    labels = proposal.labels
    if labels.has_nulls:
        yield f"# Records that nobody looked at, so that {labels.label} is null, count as normal."
    if proposal.cut_off is not None:
        yield "# Newer records are left for `forecast` and `evaluate`; drop the cut-off to train on them too."
    if proposal.normal is not None:
        yield f"normal = {toml_text(proposal.normal)}  # which records may be trained on"
    else:
        yield "# normal = \"status = 'ok'\"  # which records may be trained on; all if absent"
    if labels.label is not None:
        yield f"label = {toml_text(labels.label)}  # true for known anomalies: to evaluate, never to train"
    else:
        yield '# label = "is_fault"        # true for known anomalies: to evaluate, never to train'


def _rate(proposal: Proposal) -> Iterator[str]:
    rate = proposal.rate
    sentence = f"Flagged normal records: {rate_in_words(proposal)}."
    if rate.normal_records < rate.wanted_records:
        sentence += f" There are {counted_noun(rate.normal_records, 'normal record')};"
        sentence += f" a rate of {rate.value:g} should have {rate.wanted_records:,}."
    yield f"# {sentence}"
    yield f"false_positive_rate = {rate.value:g}  # share of normal records that may be flagged"
    if proposal.readings is not None:
        yield '# threshold = "conformal"  # stays fixed; by default it follows the scores of machines that drift'


def _pace(proposal: Proposal) -> Iterator[str]:
    """Yield the durations whose defaults do not fit the pace of the table."""
    defaults = MonitorConfig.model_fields
    if proposal.is_time_first:
        yield f'settle = "{_rounded(_SETTLE)}"  # records younger than this may still arrive out of order'
    if proposal.newest_gap is not None:
        gap_after = _USUAL_GAPS * proposal.newest_gap
        if gap_after > defaults["gap_after"].default:
            yield f'gap_after = "{_rounded(gap_after)}"  # a source that is silent for longer has stopped'


def _series(proposal: Proposal) -> Iterator[str]:
    readings = proposal.readings
    if readings is not None:
        yield f"\n# Readings {readings.pace}: a record is scored with the past of its entity."
        yield f"[monitors.{proposal.name}.series]"
        if readings.cells is not None:
            yield f'resample = "{_rounded(readings.step)}"'
        yield f'max_gap = "{_rounded(GAP_STEPS * readings.longest_step)}"  # a longer pause resets the past'


def _rounded(length: timedelta) -> str:
    """Return a duration as the configuration has it, rounded up to a hundredth.

    >>> _rounded(timedelta(seconds=599.5)), _rounded(timedelta(hours=36)), _rounded(timedelta(milliseconds=250))
    ('10m', '36h', '250ms')
    """
    milliseconds = length / timedelta(milliseconds=1)
    unit, size = next((unit, size) for unit, size in _UNITS if milliseconds >= 2 * size or size == 1)
    return f"{-(-round(milliseconds, 3) // size):.0f}{unit}"


def _toml_block(text: str) -> str:
    """Return a text as a value of TOML, on lines of its own if it has several."""
    if "\n" not in text:
        return toml_text(text)
    lines = [toml_text(line)[1:-1].replace('\\"', '"').replace('"""', '""\\"') for line in text.split("\n")]
    return "\n".join(['"""', *lines, '"""'])


def _toml_list(names: Sequence[str]) -> str:
    """Return a list on one line, or with one name per line if it is long."""
    items = [toml_text(name) for name in names]
    line = f"[{', '.join(items)}]"
    return line if len(line) <= _LINE_LENGTH else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
