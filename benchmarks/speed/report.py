"""The report of the speed benchmark: timings as rates, ratios and Markdown tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.speed.setting import QUARTER, WHOLE, Size

MIB = 1 << 20

PEERS = {"isolation_forest": "isolation forest, 100 trees", "lof": "local outlier factor"}
STARTS = {
    "help": ("`plumbline --help`", "python", "an empty Python program"),
    "status": ("`plumbline status`", "python", "an empty Python program"),
    "anomalies": ("`plumbline anomalies list`", "python", "an empty Python program"),
    "few": ("`plumbline score`, 256 new records", "pandas", "`import pandas` alone"),
}


@dataclass(frozen=True)
class Timing:
    """Number of records, seconds of each repetition, and peak memory of the process."""

    records: int
    seconds: tuple[float, ...]
    peak_bytes: int = 0

    @property
    def middle(self) -> float:
        """The median of the seconds.

        >>> Timing(100, (2.0, 9.0, 1.0)).middle
        2.0
        """
        return median(self.seconds)

    @property
    def rate(self) -> float:
        """Records per second, by the median.

        >>> Timing(100, (2.0, 9.0, 1.0)).rate
        50.0
        """
        return self.records / self.middle


@dataclass(frozen=True)
class Machine:
    """The machine that the figures were measured on."""

    processor: str
    cores: int
    threads: int
    load: float
    """Runnable processes at the start of the benchmark, which shares the machine with them."""

    def __str__(self) -> str:
        used = f"{self.processor}, {self.cores} cores, {self.threads} threads used"
        return f"{used}; load before the start {self.load:.1f}"


def report(timings: Mapping[str, Timing], size: Size, database: str, machine: Machine) -> str:
    """Return the section for the document."""
    parts = (_setting(size, database, machine), _rates(timings), _memory(timings), _starts(timings))
    return "\n".join("\n".join((*part, "")) for part in parts)


def ratio(ours: Timing, other: Timing) -> float:
    """Return the ratio of two rates.

    >>> ratio(Timing(100, (1.0,)), Timing(1000, (5.0,)))
    0.5
    """
    return ours.rate / other.rate


def growth(small: Timing, large: Timing) -> float:
    """Return the peak memory of the larger table over the smaller: 1 if memory does not depend on the table."""
    return large.peak_bytes / small.peak_bytes


def slowest_stage(timings: Mapping[str, Timing]) -> Timing:
    """Return the stage that limits the whole pipeline if the other stage takes no time."""
    return min((timings["read"], timings["score"]), key=lambda timing: timing.rate)


def _setting(size: Size, database: str, machine: Machine) -> list[str]:
    return [
        f"{size.rows:,} records in {database}: {size.columns} numeric columns, a time and an entity.",
        f"A model with default settings, trained on {size.normal:,} of them; batches of {size.batch:,}.",
        f"{machine}.",
        "Every ratio compares two measurements of this run; the absolute figures hold for this machine only.",
    ]


def _rates(timings: Mapping[str, Timing]) -> list[str]:
    whole = timings[WHOLE]
    pairs = [
        ("reading alone", timings["read"], "the database's own stream, dropped on arrival", timings["read limit"]),
        ("scoring alone", timings["score"], "its matrix products in NumPy", timings["score limit"]),
        ("table to flagged rows", whole, "the slower of the two", slowest_stage(timings)),
        ("writing scores alone", timings["write"], "executemany", timings["write by executemany"]),
    ]
    if "fit by PyOD" in timings:
        pairs.append(
            (f"fitting to {timings['fit'].records:,} records", timings["fit"], "PyOD's VAE", timings["fit by PyOD"])
        )
    pairs += [("table to flagged rows", whole, f"pandas and {PEERS[name]}", timings[name]) for name in PEERS]
    rows = [
        [what, f"{ours.rate:,.0f}", other, f"{limit.rate:,.0f}", f"{ratio(ours, limit):.2f}"]
        for what, ours, other, limit in pairs
    ]
    imported, trained, fitted = timings["import"], timings["train"], timings["fit"]
    return [
        *_table(["", "records/s", "against", "records/s", "ratio"], rows),
        "",
        f"The import took {imported.middle:.0f} s ({imported.rate:,.0f} records/s), training {trained.middle:.0f} s.",
        f"Fitting to {fitted.records:,} records took {fitted.middle:.0f} s and {fitted.peak_bytes / MIB:,.0f} MiB.",
    ]


def _memory(timings: Mapping[str, Timing]) -> list[str]:
    small, large = timings[QUARTER], timings[WHOLE]
    rows = [
        [f"{timing.records:,}", f"{timing.peak_bytes / MIB:,.0f}", f"{growth(small, timing):.2f}"]
        for timing in (small, large)
    ]
    few, serve = timings["few records"], timings["serve"]
    sentences = (
        f"A process that scores {few.records} records peaks at {few.peak_bytes / MIB:,.0f} MiB.",
        f"`serve` has {serve.peak_bytes / MIB:,.0f} MiB at rest, after a run with {serve.records} new records.",
    )
    return [*_table(["records scored", "peak memory, MiB", "ratio"], rows), "", *sentences]


def _starts(timings: Mapping[str, Timing]) -> list[str]:
    rows = [
        [what, _seconds(timings[name]), other, _seconds(timings[base]), f"{_times(timings, name, base):.1f}"]
        for name, (what, base, other) in STARTS.items()
    ]
    return _table(["a new process", "seconds", "against", "seconds", "ratio"], rows)


def _seconds(timing: Timing) -> str:
    return f"{timing.middle:.2f}"


def _times(timings: Mapping[str, Timing], name: str, base: str) -> float:
    return timings[name].middle / timings[base].middle


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---" if column == 0 or title == "against" else "---:" for column, title in enumerate(header)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]
