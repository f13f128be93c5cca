"""The outcomes of claimed batches, wherever they are scored, and what a run makes of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jobs.scoring.batch_results import count_top_features
from jobs.store import Batch, BatchResult
from schemas.errors import RecordsError, SourceError, SourceTimeout

MAX_FAILED_BATCHES = 3  # that a run skips, before it takes the failure for one of the table or the model
NO_WORK = dict.fromkeys(("batches", "records", "anomalies", "rescored", "unreadable_records", "suppressed"), 0)


@dataclass(frozen=True)
class BatchCounts:
    """What a scored batch adds to the counts of a run."""

    records: int
    anomalies: int
    unreadable_records: int
    suppressed: int
    rescored: int
    """1 if the batch had been scored before, otherwise 0."""
    causes: Mapping[str, int]
    """Flagged records by the feature that contributes most to their score."""

    @classmethod
    def of(cls, batch: Batch, result: BatchResult) -> "BatchCounts":
        """Count the result of a batch."""
        return cls(
            records=result.records,
            anomalies=len(result.anomalies),
            unreadable_records=len(result.unreadable),
            suppressed=sum(item.suppressed_by is not None for item in result.anomalies),
            rescored=int(batch.scored_before is not None),
            causes=count_top_features(item.explanation for item in result.anomalies),
        )

    def add_to(self, counts: dict[str, Any]) -> None:
        """Add the batch to the counts of a run."""
        counts["batches"] += 1
        for name in counts.keys() & set(NO_WORK) - {"batches"}:
            counts[name] += getattr(self, name)


@dataclass(frozen=True)
class BatchOutcome:
    """The outcome of a claimed batch; it has neither counts nor a failure if another worker has taken it over."""

    batch_id: int
    counts: BatchCounts | None = None
    failure: RecordsError | SourceError | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the batch was neither scored nor failed: another worker has it, or another batch comes first."""
        return self.counts is None and self.failure is None


@dataclass(frozen=True)
class Failures:
    """The batches of a run that failed, which it does not claim again.

    Attributes:
        limit: number of failed batches that end the run.
        by_batch: the error of each failed batch, by its id.
    """

    limit: int = MAX_FAILED_BATCHES
    by_batch: dict[int, RecordsError | SourceError] = field(default_factory=dict)

    def add(self, outcome: BatchOutcome) -> None:
        """Record the failure of a batch, if it failed, so that the others need not wait for it.

        Raises:
            RecordsError: If as many batches failed as the limit allows.
            SourceError: Likewise, or if the database keeps its readers waiting: other batches would wait as long.
        """
        if outcome.failure is None:
            return
        self.by_batch[outcome.batch_id] = outcome.failure
        if len(self.by_batch) >= self.limit or isinstance(outcome.failure, SourceTimeout):
            raise outcome.failure

    def raise_first(self) -> None:
        """Raise the error of the first batch that failed, if any did."""
        for failure in self.by_batch.values():
            raise failure


Elsewhere: TypeAlias = Callable[[str, Failures, Callable[[], bool]], Iterator[BatchOutcome]]
"""Has the batches of a monitor scored by other processes until only failed ones are left, or it is to stop."""
