"""Scores a single claimed batch, without a run around it."""

from contextlib import closing

from detector.core.scorer import Scorer
from jobs.scoring.batch_reading import BatchReading
from jobs.scoring.scored_batch import ScoredBatch


def score_batch(reading: BatchReading, scorer: Scorer) -> None:
    """Score a claimed batch and write its result; the reading of the batch is closed."""
    with closing(reading):
        ScoredBatch.of(reading, scorer, lambda: False).write()
