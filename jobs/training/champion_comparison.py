"""The comparison of a new model with the champion: both are measured on the same records."""

from dataclasses import dataclass
from typing import Any, Generic

from detector.core.comparison import Comparison, Performance
from jobs.champions import load_scorer
from jobs.reading.source import Source
from jobs.store import Store
from jobs.training.trainer import Benchmark, FittedModel, S
from jobs.training.training_set import Parts
from schemas.errors import ArtifactError, RecordsError


@dataclass(frozen=True)
class Rival(Generic[S]):
    """The champion that a new model is compared with.

    Attributes:
        model_id: its number in the store.
        scorer: the model at the rate of the monitor; None if it can no longer score.
        problem: why it cannot.
    """

    model_id: int
    scorer: S | None
    problem: str | None = None


def load_rival(store: Store, source: Source) -> Rival[Any] | None:
    """Load the champion at the rate of the monitor; None before the first champion."""
    champion = store.models.champion(source.name)
    if champion is None:
        return None
    try:
        return Rival(champion.model_id, load_scorer(store, champion, source.monitor))
    except (ArtifactError, RecordsError) as exc:
        return Rival(champion.model_id, None, str(exc))


def compare(fitted: FittedModel[S], rival: Rival[S] | None, benchmark: Benchmark[S], parts: Parts) -> Comparison:
    """Measure a new model and, if there is one, the champion on the same records."""
    champion, problem = _measured(rival, benchmark)
    notes = {
        f"The champion cannot score these records: {problem}": problem,
        benchmark.note: benchmark.note and champion,
        f"The champion was made from {parts.seen_by_champion:,} of the held-out records, which flatters it.": (
            parts.seen_by_champion and champion
        ),
    }
    return Comparison(
        challenger=benchmark.measure(fitted.scorer),
        champion=champion,
        champion_id=None if rival is None else rival.model_id,
        rate=benchmark.rate,
        cells=benchmark.cells,
        records=len(parts.held_out),
        seen_by_champion=parts.seen_by_champion,
        notes=tuple(note for note, applies in notes.items() if note and applies),
    )


def _measured(rival: Rival[S] | None, benchmark: Benchmark[S]) -> tuple[Performance | None, str | None]:
    """Return the champion's performance, or why it cannot be measured."""
    if rival is None or rival.scorer is None:
        return None, None if rival is None else rival.problem
    try:
        return benchmark.measure(rival.scorer), None
    except RecordsError as exc:  # the monitor has other features or entities now
        return None, str(exc)
