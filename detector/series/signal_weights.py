"""Weights of the views of one model, by how well each tells synthetic anomalies from normal records; no label is used.

Events go into the held-back records, and what the views that had not seen these say is measured as it will be fused.
"""

from collections.abc import Callable, Sequence

import numpy as np

from detector.core.evaluation import evaluate
from detector.series.fusion import Fusion
from detector.series.numpy_network import NETWORK_VIEWS
from detector.series.signals import RULES, VIEWS
from detector.series.synthetic import ECHO, SLOT, covered, in_turn, with_events

ENOUGH_EVENTS = 210  # thirty of each kind: other events change a weight by a few hundredths
MOST_ROUNDS = 30  # times that the same records are given other events

Views = Callable[[np.ndarray], np.ndarray]  # (n, v) what they say of consecutive records (n, c)


def view_weights(
    held_back: Sequence[tuple[np.ndarray, int]], views: Views, deviations: np.ndarray, fusion: Fusion, seed: int
) -> np.ndarray:
    """(v,) weights in [0, 1]: of the views that are learned the best has 1, the others their share of its quality.

    Quality is the area under precision over recall above what chance gives, over the better span of smoothing. Views
    that state a rule keep 1, for few events break one. All are 1 where the records are too few for an event.

    Args:
        held_back: runs of normal records (n, c), and the position from which on they are held back.
        views: that have not seen the held-back records.
        deviations: (c,) standard deviation of the channels that events may change, 0 of the others.
        fusion: scaled on the held-back records.
        seed: of the events.
    """
    alarms, labels = _tried(held_back, views, deviations, fusion, seed)
    weights = np.ones(fusion.median.shape[0])
    if not labels.any():
        return weights
    chance = labels.mean()
    learned = list(learned_views(len(weights)))
    quality = np.array([max(_area(span[:, view], labels) for span in alarms) - chance for view in learned])
    if quality.max() > 0:
        weights[learned] = np.maximum(quality, 0) / quality.max()
    return weights


def learned_views(count: int) -> dict[int, str]:
    """The positions among so many views, and the names, of those that are learned; the others state a rule."""
    names = (*VIEWS, *NETWORK_VIEWS)[:count]
    return {view: name for view, name in enumerate(names) if name not in RULES}


def _tried(
    held_back: Sequence[tuple[np.ndarray, int]], views: Views, deviations: np.ndarray, fusion: Fusion, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Alarms (S, n, v) of the views at the records of all rounds that count, and which of these (n,) are in events."""
    rng = np.random.default_rng(seed)
    kinds = in_turn(rng)
    slots = sum((len(run) - start) // SLOT for run, start in held_back)
    rounds = min(MOST_ROUNDS, -(-ENOUGH_EVENTS // slots)) if slots else 0
    alarms, labels = [np.zeros((len(fusion.smoothing), 0, len(fusion.median)))], [np.zeros(0, dtype=bool)]
    for run, start in [part for _ in range(rounds) for part in held_back]:
        later, events = with_events(run[start:], deviations, kinds, rng)
        is_event = covered(events, len(later))
        counts = is_event | ~covered(events, len(later), ECHO)
        said = views(np.concatenate([run[:start], later]))[start:]
        alarms.append(fusion.alarms(said)[:, counts])
        labels.append(is_event[counts])
    return np.concatenate(alarms, axis=1), np.concatenate(labels)


def _area(alarm: np.ndarray, labels: np.ndarray) -> float:
    return evaluate(alarm, np.zeros_like(labels), labels).average_precision
