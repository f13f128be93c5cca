"""Bake-off of the series model and plain baselines: fitted on the same records, scored on events in later records.

A trained model has learned from all normal records, including the held-back records. So every method, including the
model, is refitted on the earlier records: a held-back record gets the score that it would have got at its time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from detector.core.calibration import Calibration
from detector.core.evaluation import evaluate
from detector.core.subsample import subsample_evenly
from detector.series.baselines import BASELINES, CONTEXT_ROWS, Score
from detector.series.card import MODEL
from detector.series.channels import Channels
from detector.series.counters import CONTEXT_ROWS as COUNTER_ROWS
from detector.series.fitting import HELD_BACK_SHARE
from detector.series.model import SeriesModel
from detector.series.segments import concatenate, take_rows
from detector.series.series import Series
from detector.series.synthetic import ECHO_ROWS, SLOT_ROWS, Event, event_mask, inject_events

MAX_ENTITIES = 8
MAX_TRAINING_RECORDS = 20_000  # of all entities together
SUFFICIENT_RECORDS = 5_000  # of one entity: a model learns little from more, and fewer make it much worse
MAX_HELD_BACK_RECORDS = 4_000  # of all entities together
BASELINE_ROWS = CONTEXT_ROWS + COUNTER_ROWS  # earlier records that the score of a baseline depends on


@dataclass(frozen=True)
class Case:
    """An entity's records in order of time: records to learn from, and the held-back records right after them."""

    entity: str
    earlier: Series
    later: Series


def cases_of(model: SeriesModel, series: Mapping[str, Series]) -> list[Case]:
    """Return a case for each of at most eight entities with enough records, evenly spread by name.

    Entities with a model of their own are preferred. There are fewer cases if eight would leave too few records each.
    """
    ordered = {name: series[name].ordered()[0] for name in sorted(series)}
    eligible_entities = [name for name, records in ordered.items() if int(HELD_BACK_SHARE * len(records)) >= SLOT_ROWS]
    names = [name for name in eligible_entities if model.has_own(name)] or eligible_entities
    longest = min(SUFFICIENT_RECORDS, max((len(ordered[name]) for name in names), default=1))
    places = subsample_evenly(len(names), min(MAX_ENTITIES, MAX_TRAINING_RECORDS // longest))
    return [_case(names[place], ordered[names[place]], len(places)) for place in places]


def _case(entity: str, series: Series, entities: int) -> Case:
    start = len(series) - int(HELD_BACK_SHARE * len(series))
    first, end = (
        max(0, start - MAX_TRAINING_RECORDS // entities),
        min(len(series), start + MAX_HELD_BACK_RECORDS // entities),
    )
    return Case(entity, take_rows(series, np.arange(first, start)), take_rows(series, np.arange(start, end)))


@dataclass(frozen=True)
class Method:
    """A fitted method.

    Attributes:
        scores: scores consecutive records of the entity that the method was fitted for.
        past: the largest number of earlier records that a score depends on.
    """

    scores: Callable[[Series], np.ndarray]
    past: int

    def later(self, case: Case, values: np.ndarray) -> np.ndarray:
        """Return the scores (n,) that the case's later records would have with the values (n, c)."""
        earlier = len(case.earlier)
        past = take_rows(case.earlier, np.arange(max(0, earlier - self.past), earlier))
        return self.scores(concatenate([past, Series(case.later.times, values)]))[len(past) :]


@dataclass(frozen=True)
class FittedCase:
    """A case, the standard deviations (c,) of its channels that events may change, and the fitted methods by name."""

    case: Case
    deviations: np.ndarray
    methods: Mapping[str, Method]


def fit_cases(cases: Sequence[Case], model: SeriesModel) -> list[FittedCase]:
    """Fit every method on the earlier records of each case, or of all cases if entities share a model."""
    is_own = model.has_own(cases[0].entity)
    settings = replace(model.settings, models="per_entity" if is_own else "shared")
    refitted = SeriesModel.fit({case.entity: case.earlier for case in cases}, settings)
    groups = [[case] for case in cases] if is_own else [cases]
    baselines_of_groups = [_Baselines.fit(group, refitted) for group in groups]
    return [
        FittedCase(
            case,
            baselines.deviations(case.entity),
            {MODEL: Method(partial(refitted.scores, case.entity), refitted.context_rows), **baselines.of(case.entity)},
        )
        for group, baselines in zip(groups, baselines_of_groups, strict=True)
        for case in group
    ]


@dataclass(frozen=True)
class _Baselines:
    """The baselines of cases that share a model, which watch counters by their increase as the model does.

    Attributes:
        model: of the cases.
        channels: statistics of the earlier records.
        scores: fitted to the earlier records, by name.
    """

    model: SeriesModel
    channels: Channels
    scores: Mapping[str, Score]

    @classmethod
    def fit(cls, cases: Sequence[Case], model: SeriesModel) -> "_Baselines":
        """Fit the baselines to the earlier records of cases."""
        runs = [run for case in cases for run in _watched_runs(model, case.entity, case.earlier)]
        channels = Channels.fit(runs)
        cells = [channels.cells(run).z for run in runs]
        return cls(model, channels, {name: fit(cells) for name, fit in BASELINES.items()})

    def deviations(self, entity: str) -> np.ndarray:
        """Return the standard deviations (c,) that scale events; 0 for flags and counters, which events leave alone."""
        return np.where(self.model.is_counter(entity), 0.0, self.channels.event_deviations)

    def of(self, entity: str) -> dict[str, Method]:
        """Return the baselines of an entity by name."""
        return {
            name: Method(partial(self._scores, entity, score), BASELINE_ROWS) for name, score in self.scores.items()
        }

    def _scores(self, entity: str, score: Score, series: Series) -> np.ndarray:
        runs = _watched_runs(self.model, entity, series)
        return np.concatenate([score(self.channels.cells(run).z) for run in runs])


def _watched_runs(model: SeriesModel, entity: str, series: Series) -> list[np.ndarray]:
    """Return the values of an ordered series, each run (n, c) by itself, with counters by their increase."""
    values = model.watched(entity, series).values
    return [values[rows] for rows in series.runs(model.settings.max_gap)]


@dataclass(frozen=True)
class BakeoffResult:
    """The methods' scores of a case's later records, in several rounds of events laid end to end.

    Attributes:
        records: number of records of one round.
        events: the events of all rounds.
        scores: (n,) by method.
    """

    records: int
    events: tuple[Event, ...]
    scores: Mapping[str, np.ndarray]

    @property
    def is_anomaly(self) -> np.ndarray:
        """(n,) bool: records in an event."""
        return event_mask(self.events, len(self.scores[MODEL]))

    @property
    def is_counted(self) -> np.ndarray:
        """(n,) bool: all records but the echo of events."""
        return self.is_anomaly | ~event_mask(self.events, len(self.scores[MODEL]), ECHO_ROWS)

    def is_found(self, method: str, rate: float) -> np.ndarray:
        """Return whether a method finds each event, at the threshold that normal records set."""
        scores = self.scores[method]
        normal = scores[self.is_counted & ~self.is_anomaly]
        threshold = Calibration.fit(normal).threshold(max(rate, 1 / (1 + len(normal))))
        return np.array([scores[event.start : event.end].max() > threshold for event in self.events])

    def auc_pr(self, method: str) -> float:
        """Return the area under the precision-recall curve of a method's scores for records in events."""
        scores, labels = self.scores[method][self.is_counted], self.is_anomaly[self.is_counted]
        return evaluate(scores, np.zeros_like(labels), labels).average_precision


def try_case(fitted: FittedCase, rounds: int, kinds: Iterator[str], rng: np.random.Generator) -> BakeoffResult:
    """Score a case's later records with injected events, in a number of rounds with different events."""
    later = fitted.case.later.values
    injected_rounds = [inject_events(later, fitted.deviations, kinds, rng) for _ in range(rounds)]
    events = (
        event.moved(number * len(later)) for number, (_, events) in enumerate(injected_rounds) for event in events
    )
    scores = {
        name: np.concatenate([method.later(fitted.case, values) for values, _ in injected_rounds])
        for name, method in fitted.methods.items()
    }
    return BakeoffResult(len(later), tuple(events), scores)
