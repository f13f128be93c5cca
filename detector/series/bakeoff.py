"""The series model and plain baselines, fitted on the same records and tried on anomalies put into later ones.

A trained model has learned from all normal records, the held-back ones too. So every method, the model included, is
fitted anew, on records before those: what it says of a held-back record is what it would have said then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from detector.core.calibration import Calibration
from detector.core.evaluation import evaluate
from detector.core.subsample import subsample_evenly
from detector.series.baselines import BASELINES, CONTEXT_ROWS, Score
from detector.series.channels import Channels
from detector.series.fitting import HELD_BACK_SHARE
from detector.series.model import SeriesModel
from detector.series.segments import concatenate, take_rows
from detector.series.series import Series
from detector.series.synthetic import ECHO_ROWS, SLOT_ROWS, Event, event_mask, inject_events

MODEL = "model"
METHODS = (MODEL, *BASELINES)
MOST_ENTITIES = 8
MOST_TRAINING = 20_000  # records that every method learns from, of all entities together
WELL_TRAINED = 5_000  # records of one entity: with fewer a model is much worse than with all, with more hardly better
MOST_TRIED = 4_000  # held-back records, of all entities together


@dataclass(frozen=True)
class Case:
    """An entity's records in order of time: to learn from, and the ones held back right after them."""

    entity: str
    earlier: Series
    later: Series


def cases_of(model: SeriesModel, series: Mapping[str, Series]) -> list[Case]:
    """At most eight entities with enough records, evenly spread by name: with own models, where any has one.

    They are fewer where eight would be too many to learn enough from each.
    """
    ordered = {name: series[name].ordered()[0] for name in sorted(series)}
    enough = [name for name, one in ordered.items() if int(HELD_BACK_SHARE * len(one)) >= SLOT_ROWS]
    names = [name for name in enough if model.has_own(name)] or enough
    longest = min(WELL_TRAINED, max((len(ordered[name]) for name in names), default=1))
    places = subsample_evenly(len(names), min(MOST_ENTITIES, MOST_TRAINING // longest))
    return [_case(names[place], ordered[names[place]], len(places)) for place in places]


def _case(entity: str, series: Series, entities: int) -> Case:
    start = len(series) - int(HELD_BACK_SHARE * len(series))
    first, end = max(0, start - MOST_TRAINING // entities), min(len(series), start + MOST_TRIED // entities)
    return Case(entity, take_rows(series, np.arange(first, start)), take_rows(series, np.arange(start, end)))


@dataclass(frozen=True)
class Method:
    """A fitted method.

    Attributes:
        scores: of consecutive records of the entity that it was fitted for.
        past: how many earlier records a score depends on, at most.
    """

    scores: Callable[[Series], np.ndarray]
    past: int

    def later(self, case: Case, values: np.ndarray) -> np.ndarray:
        """(n,) scores of the case's later records, had they these values (n, c)."""
        known = len(case.earlier)
        past = take_rows(case.earlier, np.arange(max(0, known - self.past), known))
        return self.scores(concatenate([past, Series(case.later.times, values)]))[len(past) :]


@dataclass(frozen=True)
class FittedCase:
    """A case, the standard deviations (c,) of its channels that events may change, and the fitted methods by name."""

    case: Case
    deviations: np.ndarray
    methods: Mapping[str, Method]


def fit_contests(cases: Sequence[Case], model: SeriesModel) -> list[FittedCase]:
    """Every method fitted on the earlier records of each case, or of all of them where entities share a model."""
    is_own, max_gap = model.has_own(cases[0].entity), model.settings.max_gap
    settings = replace(model.settings, models="per_entity" if is_own else "shared")
    again = SeriesModel.fit({case.entity: case.earlier for case in cases}, settings)
    groups = [[case] for case in cases] if is_own else [cases]
    fitted = [_baselines(group, max_gap) for group in groups]
    return [
        FittedCase(
            case, deviations, {MODEL: Method(partial(again.scores, case.entity), again.context_rows), **baselines}
        )
        for group, (deviations, baselines) in zip(groups, fitted, strict=True)
        for case in group
    ]


def _baselines(cases: Sequence[Case], max_gap: float | None) -> tuple[np.ndarray, dict[str, Method]]:
    """The standard deviations of channels that are numbers, 0 of the others, and the fitted baselines."""
    runs = [case.earlier.values[rows] for case in cases for rows in case.earlier.runs(max_gap)]
    channels = Channels.fit(runs)
    cells = [channels.cells(run).z for run in runs]

    def method(score: Score) -> Method:
        def scores(series: Series) -> np.ndarray:
            parts = [channels.cells(series.values[rows]).z for rows in series.runs(max_gap)]
            return np.concatenate([score(part) for part in parts])

        return Method(scores, CONTEXT_ROWS)

    return channels.event_deviations, {name: method(fit(cells)) for name, fit in BASELINES.items()}


@dataclass(frozen=True)
class BakeoffResult:
    """What the methods said of a case's later records, in several rounds of events laid end to end.

    Attributes:
        records: of one round.
        events: in all rounds.
        scores: (n,) by method.
    """

    records: int
    events: tuple[Event, ...]
    scores: Mapping[str, np.ndarray]

    @property
    def is_anomaly(self) -> np.ndarray:
        """(n,): records in an event."""
        return event_mask(self.events, len(self.scores[MODEL]))

    @property
    def is_counted(self) -> np.ndarray:
        """(n,): all but the echo of events."""
        return self.is_anomaly | ~event_mask(self.events, len(self.scores[MODEL]), ECHO_ROWS)

    def found(self, method: str, rate: float) -> np.ndarray:
        """For each event whether a method finds it, at the threshold that normal records set."""
        scores = self.scores[method]
        normal = scores[self.is_counted & ~self.is_anomaly]
        threshold = Calibration.fit(normal).threshold(max(rate, 1 / (1 + len(normal))))
        return np.array([scores[event.start : event.end].max() > threshold for event in self.events])

    def auc_pr(self, method: str) -> float:
        """How well a method's scores tell the records in events from the others."""
        scores, labels = self.scores[method][self.is_counted], self.is_anomaly[self.is_counted]
        return evaluate(scores, np.zeros_like(labels), labels).average_precision


def try_out(contest: FittedCase, rounds: int, kinds: Iterator[str], rng: np.random.Generator) -> BakeoffResult:
    """What the methods say of a case's later records with events in them, in so many rounds."""
    later = contest.case.later.values
    made = [inject_events(later, contest.deviations, kinds, rng) for _ in range(rounds)]
    events = (event.moved(number * len(later)) for number, (_, events) in enumerate(made) for event in events)
    scores = {
        name: np.concatenate([method.later(contest.case, values) for values, _ in made])
        for name, method in contest.methods.items()
    }
    return BakeoffResult(len(later), tuple(events), scores)
