"""Weights of the signals of a model, by how well they detect synthetic anomalies; no label is used.

Synthetic events are injected into the held-back records. Signals that were fitted without the held-back records are
measured on the events, smoothed and scaled as in the fusion.
"""

from collections.abc import Callable, Sequence

import numpy as np

from detector.core.evaluation import evaluate
from detector.series.counters import CONTEXT_ROWS as COUNTER_ROWS
from detector.series.fusion import Fusion, fuse
from detector.series.series import Series
from detector.series.signals import CONTEXT_ROWS, RULE_SIGNALS, SIGNALS, TOTAL_SIGNALS
from detector.series.synthetic import ECHO_ROWS, SLOT_ROWS, cycle_kinds, event_mask, inject_events

TARGET_EVENTS = 210  # thirty of each kind: different events then change a weight by a few hundredths
MAX_ROUNDS = 30  # in each of which different events are injected into the same records

TOTAL_FACTOR = 0.125  # with which the alarm of the total is added
NETWORK_FACTORS = (0.5, 0.25)  # with which the alarms of a network are added
NETWORK_TOLERANCE = 0.01  # of the area that adding them may cost: trainings with other seeds differ by as much
MIN_SLOTS = 2  # of events, with which a network can be judged
PAST_ROWS = CONTEXT_ROWS + COUNTER_ROWS  # that signals depend on
RULE_POSITIONS = tuple(SIGNALS.index(name) for name in RULE_SIGNALS)
Measure = Callable[[Series, int], np.ndarray]  # consecutive records -> signals (n, k) of those from a position on


def fit_signal_weights(
    held_back: Sequence[tuple[Series, int]], measure: Measure, deviations: np.ndarray, fusion: Fusion, seed: int
) -> np.ndarray:
    """Return weights (k,) in [0, 1]: 1 for the best learned signal, the relative quality for the other learned signals.

    Quality is the area under the precision-recall curve above chance, over the better span of smoothing. Rule signals
    keep the weight 1, since few events break a rule. All weights are 1 if there are too few records for an event.

    Args:
        held_back: runs of normal records, and the position of the first held-back record in each run.
        measure: computes the signals; fitted without the held-back records.
        deviations: (c,) standard deviation of the channels that events may change, 0 for the others.
        fusion: scaled on the held-back records.
        seed: of the events.
    """
    alarms, labels = _alarms_on_events(held_back, measure, deviations, fusion, seed)
    weights = np.ones(fusion.median.shape[0])
    if not labels.any():
        return weights
    chance = labels.mean()
    learned = [position for position in range(len(weights)) if position not in RULE_POSITIONS]
    quality = np.array([max(_area(span[:, signal], labels) for span in alarms) - chance for signal in learned])
    if quality.max() > 0:
        weights[learned] = np.maximum(quality, 0) / quality.max()
    return weights


def fit_added_factors(
    held_back: Sequence[tuple[Series, int]],
    measure: Measure,
    deviations: np.ndarray,
    fusion: Fusion,
    seed: int,
    total: Sequence[float] = (),
) -> np.ndarray:
    """Return factors with which the alarms of the last signals are added to the score: of a total, loss and latent.

    Those of the network are 0 if the score then detects the events worse, by the area under the precision-recall
    curve, and if there are too few records for events.

    Args:
        held_back: as for `fit_signal_weights`.
        measure: as for `fit_signal_weights`.
        deviations: as for `fit_signal_weights`.
        fusion: as for `fit_signal_weights`.
        seed: of the events.
        total: the factor of the total, if the signals have one before those of the network.
    """
    none, factors = (np.array([*total, *of_network]) for of_network in ((0.0, 0.0), NETWORK_FACTORS))
    if _slots(held_back) < MIN_SLOTS:
        return none
    alarms, labels = _alarms_on_events(held_back, measure, deviations, fusion, seed)
    if not labels.any():
        return none
    without, area = (_area(fuse(alarms, own, fusion.alone), labels) for own in (none, factors))
    return factors if area >= without - NETWORK_TOLERANCE else none


def _slots(held_back: Sequence[tuple[Series, int]]) -> int:
    return sum((len(run) - start) // SLOT_ROWS for run, start in held_back)


def learned_signals(names: Sequence[str]) -> dict[int, str]:
    """Return the learned signals among the signals of a model, by position, without rules and the total."""
    fixed = (*RULE_SIGNALS, *TOTAL_SIGNALS)
    return {position: name for position, name in enumerate(names) if name not in fixed}


def _alarms_on_events(
    held_back: Sequence[tuple[Series, int]], measure: Measure, deviations: np.ndarray, fusion: Fusion, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the alarms (S, n, k) at the counted records of all rounds, and whether each record (n,) is in an event."""
    rng = np.random.default_rng(seed)
    kinds = cycle_kinds(rng)
    slots = _slots(held_back)
    rounds = min(MAX_ROUNDS, max(1, round(TARGET_EVENTS / slots))) if slots else 0
    alarms, labels = [np.zeros((len(fusion.smoothing), 0, len(fusion.median)))], [np.zeros(0, dtype=bool)]
    for run, start in [part for _ in range(rounds) for part in held_back]:
        later, events = inject_events(run.values[start:], deviations, kinds, rng)
        is_event = event_mask(events, len(later))
        is_counted = is_event | ~event_mask(events, len(later), ECHO_ROWS)
        first = max(0, start - PAST_ROWS)
        part = Series(run.times[first:], np.concatenate([run.values[first:start], later]))
        alarms.append(fusion.alarms(measure(part, start - first))[:, is_counted])
        labels.append(is_event[is_counted])
    return np.concatenate(alarms, axis=1), np.concatenate(labels)


def _area(alarm: np.ndarray, labels: np.ndarray) -> float:
    return evaluate(alarm, np.zeros_like(labels), labels).average_precision
