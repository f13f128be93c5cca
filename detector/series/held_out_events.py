"""Events injected into held-out normal records of series, on which champion and challenger are compared."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detector.core.evaluation import auroc_between
from detector.core.subsample import subsample_evenly
from detector.series.counters import Counters
from detector.series.inputs import Inputs
from detector.series.scorer import SeriesScorer
from detector.series.segments import concatenate, take_rows
from detector.series.series import Series
from detector.series.synthetic import ECHO_ROWS, SLOT_ROWS, Event, cycle_kinds, event_mask, inject_events

MAX_ENTITIES = 8
MAX_RECORDS = 4_000  # of all entities together, in one round
TARGET_EVENTS = 70  # ten of each kind
MAX_ROUNDS = 12  # in each of which different events are injected into the same records


@dataclass(frozen=True)
class EventCase:
    """Held-out records of an entity with injected events.

    Attributes:
        entity: its name.
        past: the normal records before.
        later: the held-out records with the events.
        events: the events.
    """

    entity: str
    past: Series
    later: Series
    events: tuple[Event, ...]


def event_cases(
    past: Mapping[str, Series], held_out: Mapping[str, Series], max_gap: float | None, seed: int
) -> list[EventCase]:
    """Inject events into the held-out records of at most eight entities, evenly spread by name.

    Args:
        past: the normal records before, by entity.
        held_out: the records to change, by entity; an entity with fewer than a hundred has no event.
        max_gap: the longest step in time inside a run of records, in seconds.
        seed: the same seed gives the same events.
    """
    past, held_out = ({name: part.ordered()[0] for name, part in series.items()} for series in (past, held_out))
    eligible = [name for name in sorted(held_out) if name in past and len(held_out[name]) >= SLOT_ROWS]
    names = [eligible[place] for place in subsample_evenly(len(eligible), MAX_ENTITIES)]
    if not names:
        return []
    rng = np.random.default_rng(seed)
    kinds = cycle_kinds(rng)
    later = {name: take_rows(held_out[name], slice(0, MAX_RECORDS // len(names))) for name in names}
    deviations = {name: _deviations(past[name], max_gap) for name in names}
    rounds = min(MAX_ROUNDS, -(-TARGET_EVENTS // sum(len(series) // SLOT_ROWS for series in later.values())))
    cases = []
    for name in names * rounds:
        values, events = inject_events(later[name].values, deviations[name], kinds, rng)
        cases.append(EventCase(name, past[name], Series(later[name].times, values), events))
    return [case for case in cases if case.events]


def measure_events(scorer: SeriesScorer, cases: Sequence[EventCase]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the share of the events with a flagged record, and the AUROC of their records, by kind.

    Thresholds are fixed. The records right after an event count neither as normal nor as anomalous.
    """
    normal: list[np.ndarray] = []
    faulty: dict[str, list[np.ndarray]] = defaultdict(list)
    found: dict[str, list[bool]] = defaultdict(list)
    for case in cases:
        past = take_rows(case.past, slice(max(0, len(case.past) - scorer.context_rows), len(case.past)))
        scores = scorer.model.scores(case.entity, concatenate([past, case.later]), len(case.later))
        threshold = scorer.entity_threshold(case.entity).threshold
        normal.append(scores[~event_mask(case.events, len(scores), ECHO_ROWS)])
        for event in case.events:
            faulty[event.kind].append(scores[event.rows])
            found[event.kind].append(bool(scores[event.rows].max() > threshold))
    usual = np.concatenate(normal) if normal else np.zeros(0)
    recall = {kind: float(np.mean(found[kind])) for kind in sorted(found)}
    return recall, {kind: auroc_between(usual, np.concatenate(faulty[kind])) for kind in sorted(faulty)}


def _deviations(series: Series, max_gap: float | None) -> np.ndarray:
    """Return the standard deviation of each channel that an event may change, 0 for the others."""
    runs = [take_rows(series, rows) for rows in series.runs(max_gap)]
    return Inputs.fit(runs, Counters.fit(runs), recovers=False).event_deviations
