"""The champion as a new model's rival: both are tried on the same records."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from detector.core.comparison import Comparison
from detector.records.artifact import Artifact
from detector.records.held_out import Performance, Trial, perform
from detector.records.held_out_elbo import elbo_difference
from detector.records.scorer import RecordScorer
from jobs.reading.source import Source, keys_of
from jobs.scoring.run import load_record_scorer
from jobs.store import Store
from jobs.store.feedback import Feedback
from jobs.training.training_set import MOST_HELD_OUT, Parts
from schemas.errors import ArtifactError, RecordsError, SourceError
from schemas.keys import Key, load_key, load_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_KNOWN = 1_000  # anomalies of a kind that models are tried on, the newest


@dataclass(frozen=True)
class Rival:
    """A champion that a new model is compared with.

    Attributes:
        model_id: its number in the store.
        scorer: the model; None where it cannot score any more.
        problem: why it cannot.
    """

    model_id: int
    scorer: RecordScorer | None
    problem: str | None = None

    def unseen(self, source: Source) -> frozenset[Key]:
        """Keys of the newest normal records that lie past those it was made from."""
        about = {} if self.scorer is None else self.scorer.artifact.about.get("training", {})
        if "upto_key" not in about:
            return frozenset()
        try:
            newer = source.read_normal_past(load_key(about["upto_key"]), 2 * MOST_HELD_OUT)
        except SourceError:  # the key is of another type now; nothing is known to be past the old one
            return frozenset()
        return frozenset(keys_of(newer, source.monitor.key))


def load_rival(store: Store, source: Source) -> Rival | None:
    """The champion at the rate that the monitor asks for now; None before the first."""
    champion = store.models.champion(source.name)
    if champion is None:
        return None
    try:
        return Rival(champion.model_id, load_record_scorer(store, champion, source.monitor))
    except (ArtifactError, RecordsError) as exc:
        return Rival(champion.model_id, None, str(exc))


def compare_with(
    rival: Rival | None, artifact: Artifact, parts: Parts, source: Source, feedback: Feedback
) -> Comparison:
    """Try a new model, and the champion where there is one, on the same records."""
    monitor = source.monitor
    rate = None if monitor.threshold == "f_beta" else monitor.false_positive_rate
    known = _known(source, feedback, parts.normal.training)
    trial = Trial.of(parts.held_out, parts.normal.calibration, known, artifact.encoder, monitor.model.seed)
    challenger = RecordScorer(artifact, monitor.false_positive_rate)
    old = None if rival is None else rival.scorer
    difference = None if old is None else elbo_difference(old, challenger)
    champion, problem = _champion(rival, trial, rate, with_elbo=difference is None)
    notes = {
        f"The champion cannot score these records: {problem}": problem,
        f"The ELBOs do not compare, as {difference}.": difference and champion,
        f"The champion was made from {parts.seen_by_champion:,} of the held-out records, which flatters it.": (
            parts.seen_by_champion and champion
        ),
    }
    return Comparison(
        challenger=perform(challenger, trial, rate, with_elbo=difference is None),
        champion=champion,
        champion_id=None if rival is None else rival.model_id,
        rate=rate,
        cells=artifact.architecture.width,
        records=len(parts.held_out),
        seen_by_champion=parts.seen_by_champion,
        notes=tuple(note for note, applies in notes.items() if applies),
    )


def _champion(
    rival: Rival | None, trial: Trial, rate: float | None, *, with_elbo: bool
) -> tuple[Performance | None, str | None]:
    """What the champion makes of a trial, or why it cannot be tried."""
    if rival is None or rival.scorer is None:
        return None, None if rival is None else rival.problem
    try:
        return perform(rival.scorer, trial, rate, with_elbo=with_elbo), None
    except RecordsError as exc:  # the monitor has other features now
        return None, str(exc)


def _known(source: Source, feedback: Feedback, examples: pd.DataFrame) -> "Mapping[str, pd.DataFrame]":
    """Records of which people know what they are, by kind."""
    like = keys_of(examples.head(1), source.monitor.key)[0]
    kinds = {"confirmed": "confirmed", "false_alarms": "false_positive"}
    known = {kind: _labelled(source, feedback.keys(label)[:MOST_KNOWN], like) for kind, label in kinds.items()}
    if source.monitor.label is not None:
        known["labelled"] = source.read_anomalies(MOST_KNOWN)
    return known


def _labelled(source: Source, labels: "Sequence[str]", like: Key) -> pd.DataFrame:
    """The records behind labels of keys that are still there; a label of a key of another kind has none."""
    keys = []
    for label in labels:
        try:
            keys.append(load_label(label, like))
        except (ValueError, ArithmeticError):
            continue
    return source.read_keys(keys)
