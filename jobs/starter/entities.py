"""Proposes what a record is about, and whether its records are readings at regular times."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from jobs.dialects.families import NUMBERS
from jobs.starter.sample import Sample
from jobs.wording import duration

MIN_REGULAR_SHARE = 0.7  # of the steps in time, within half a step of the median; times at random have 0.35
MIN_STEPS = 20
MAX_EQUAL_TIMES_SHARE = 0.05
MIN_RECORDS_PER_ENTITY = 3
GAP_STEPS = 10  # a pause of this many steps resets the past
_SIGNAL = re.compile(r"(^|_|\s)(tag|sensor|signal|channel|probe|meter|point|variable|parameter)", re.IGNORECASE)
_GRID_STEPS = (1, 5, 10, 30, 60, 300, 600, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400)  # seconds
_MIN_CELLS = 100  # of a signal
_MAX_SIGNALS = 64
_MIN_STEPS_OF_ENTITY = 10  # by which an entity has a usual step of its own
_MAX_EQUAL_STEPS = 1.5  # ratio of two steps that count as the same
_DAY = 86_400  # seconds

_THING = re.compile(
    r"(machine|device|sensor|pump|station|unit|host|server|meter|asset|vehicle|truck|car|robot|line|engine|turbine|"
    r"plant|site|node|well|customer|client|account|user|card|patient|merchant|seller|shop|store|tag|equipment|"
    r"instance|symbol|ticker|location|tenant|driver|employee|subject|probe|channel|cell|battery|motor|valve|"
    r"inverter|room|building|house|zone|gateway|router|ip)",
    re.IGNORECASE,
)
_ID = re.compile(
    r"(?<=[a-z])(Id|ID|No|Nr|Name|Code)$|(^|_|\s)(?i:id|no|nr|number|name|code|key|sn|serial|ref|hash|uuid|guid)$"
)


@dataclass(frozen=True)
class Readings:
    """Records of entities at regular times.

    Attributes:
        entity: the column of entities; None if all records are of one.
        step: the usual step in time.
        longest_step: of the entity whose records come least often.
        entities: their number in the sample.
        per_day: records of all entities in a day.
        cells: records of all entities on a grid in time with this step, for rows at irregular times; None for rows that
            are records.
    """

    entity: str | None
    step: timedelta
    longest_step: timedelta
    entities: int
    per_day: float
    cells: int | None = None

    @property
    def pace(self) -> str:
        """The usual step in words, and the longest one if it is another."""
        if self.cells is not None:
            return f"at irregular times, as one record every {duration(self.step.total_seconds())}"
        usual, longest = (duration(step.total_seconds()) for step in (self.step, self.longest_step))
        return (
            f"every {usual}"
            if self.longest_step <= _MAX_EQUAL_STEPS * self.step
            else f"every {usual}, or up to {longest}"
        )


def is_thing(name: str, *, needs_id: bool = False) -> bool:
    """Return whether a column is what a record is about, by its name.

    Args:
        name: of the column.
        needs_id: whether the name must end like that of an id: a number named `battery` is a measurement.

    >>> [is_thing(name) for name in ("pump", "source_ip", "customerId", "card_present", "order_id", "zip")]
    [True, True, True, False, False, False]
    >>> is_thing("battery", needs_id=True), is_thing("machine_id", needs_id=True)
    (False, True)
    """
    thing = _ID.sub("", name)
    last_word = re.split(r"[_\s.-]|(?<=[a-z])(?=[A-Z])", thing)[-1]
    return _THING.fullmatch(last_word) is not None and (thing != name or not needs_id)


def find_readings(sample: Sample, time: str, named: str | None) -> Readings | None:
    """Return the entities whose records come at regular times; None if times are irregular.

    Args:
        sample: of the table.
        time: the time of a record.
        named: the column of entities that the user names; None to find it.
    """
    if sample.table.dialect.has_dynamic_types and not _has_one_form(sample, time):
        return None
    times = sample.times(time)
    if named is not None:
        return _readings(sample, times, named)
    found = [readings for name in _candidates(sample, time) if (readings := _readings(sample, times, name))]
    things = [readings for readings in found if _is_named(sample, readings.entity)]
    if things:
        return max(things, key=lambda readings: readings.entities)
    return _readings(sample, times, None) or max(found, key=lambda readings: readings.entities, default=None)


def find_signals(sample: Sample, time: str, named: str | None) -> Readings | None:
    """Return signals that a table has one number of in each row, at irregular times, for a grid in time.

    None if the table has more than one number, or no column with the name of a signal.

    Args:
        sample: of the table.
        time: the time of a record.
        named: the column of signals that the user names; None to find it.
    """
    dialect, columns = sample.table.dialect, list(sample.columns(time, *sample.table.key))
    numbers = [column.name for column in columns if column.family in NUMBERS and not sample.is_text(column.name)]
    signals = [c.name for c in columns if c.name == named or (sample.is_text(c.name) and _SIGNAL.search(c.name))]
    if not dialect.has_grid_of_time or len(numbers) != 1 or len(signals) != 1 or not _is_nameable(sample, signals[0]):
        return None
    if dialect.has_dynamic_types and not _has_one_form(sample, time):
        return None
    times = sample.times(time)
    by_signal = times.sort_values().groupby(sample.texts(signals[0]))
    medians = by_signal.apply(lambda of_signal: of_signal.diff().dt.total_seconds().median())
    step = next((step for step in _GRID_STEPS if step >= medians.max()), None)
    span = (times.max() - times.min()).total_seconds()
    if step is None or len(medians) > _MAX_SIGNALS or span < _MIN_CELLS * step:
        return None
    cell, entities = timedelta(seconds=step), len(medians)
    return Readings(signals[0], cell, cell, entities, entities * _DAY / step, int(entities * span / step))


def find_entity(sample: Sample, *taken: str | None) -> str | None:
    """Return the column of what a record is about, if several records are about the same; None if there is none."""
    for column in sample.columns(*taken):
        if _is_named(sample, column.name) and _is_nameable(sample, column.name):
            texts = sample.texts(column.name).dropna()
            if 1 < texts.nunique() <= len(texts) / MIN_RECORDS_PER_ENTITY:
                return column.name
    return None


def _is_named(sample: Sample, name: str | None) -> bool:
    if name is None:
        return False
    is_number = sample.table.columns[name].family not in {"text", "enum", "uuid"}
    return name in sample.table.key or is_thing(name, needs_id=is_number)


def _candidates(sample: Sample, time: str) -> Iterator[str]:
    """Yield the columns that may group readings: those with the name of a thing, of the key, and texts."""
    for column in sample.columns(time):
        is_named = _is_named(sample, column.name)
        if _is_nameable(sample, column.name) and (is_named or column.family not in {"integer", "unknown"}):
            texts = sample.texts(column.name).dropna()
            if 0 < texts.nunique() <= max(len(texts) / MIN_RECORDS_PER_ENTITY, 1):
                yield column.name


def _is_nameable(sample: Sample, name: str) -> bool:
    """Return whether the values of a column can be names: texts, whole numbers or UUIDs."""
    family = sample.table.columns[name].family
    is_fit = family in {"text", "enum", "integer", "uuid", "unknown"}
    return is_fit and sample.is_read(name) and sample.null_share(name) == 0


def _readings(sample: Sample, times: "pd.Series[pd.Timestamp]", name: str | None) -> Readings | None:
    groups = pd.Series("", index=times.index) if name is None else sample.texts(name)
    ordered = pd.DataFrame({"group": groups, "time": times}).dropna().sort_values(["group", "time"])
    steps = ordered.groupby("group", sort=False)["time"].diff().dt.total_seconds().dropna()
    groups = ordered["group"].loc[steps.index]
    if len(steps) < MIN_STEPS or np.mean(steps == 0) > MAX_EQUAL_TIMES_SHARE or not (steps > 0).any():
        return None
    step = float(steps[steps > 0].median())
    of_group = steps[steps > 0].groupby(groups).agg(["median", "count"])
    usual = of_group["median"].where(of_group["count"] >= _MIN_STEPS_OF_ENTITY, step)
    expected = groups.map(usual).fillna(step)
    if np.mean(np.abs(steps - expected) <= expected / 2) < MIN_REGULAR_SHARE:
        return None
    entities = int(ordered["group"].nunique())
    per_day = float((_DAY / usual).sum()) + (entities - len(usual)) * _DAY / step
    return Readings(name, timedelta(seconds=step), timedelta(seconds=float(usual.max())), entities, per_day)


def _has_one_form(sample: Sample, time: str) -> bool:
    """Return whether times kept as texts are all written alike, as a series needs."""
    texts = sample.present(time)
    return all(isinstance(text, str) for text in texts) and texts.str.replace(r"\d", "0", regex=True).nunique() == 1
