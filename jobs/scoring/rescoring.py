"""Rescores history with the champion, batch by batch."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from detector.core.scorer import Scorer
from jobs.champions import load_scorer
from jobs.reading.source import Source
from jobs.scoring.outcomes import Elsewhere
from jobs.scoring.run import Progress, ScoringReport, score_monitor
from jobs.store import Champion, Store
from schemas.config import MonitorConfig
from schemas.errors import UsageError


@dataclass(frozen=True)
class Window:
    """A span of record time, without its end."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.until <= self.since:
            msg = f"The window ends at {self.until}, which is not after its start {self.since}. Swap the two."
            raise UsageError(msg)


@dataclass(frozen=True)
class RescoringReport:
    """The outcome of rescoring."""

    reopened: int
    """Batches that overlap the window and had been done."""
    scoring: ScoringReport


def rescore_monitor(  # noqa: PLR0913 - as `score_monitor`
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    window: Window,
    progress: Callable[[Progress], None] | None = None,
    load: Callable[[Store, Champion, MonitorConfig], Scorer] = load_scorer,
    *,
    elsewhere: Elsewhere | None = None,
) -> RescoringReport:
    """Rescore every batch that overlaps a window; rows that the champion no longer flags are superseded.

    The batches are reopened in the ledger first, so the next run of any worker resumes an interrupted one.

    Raises:
        NoChampion: If no model has been trained; nothing is reopened then.
    """
    store.models.require_champion(source.name)
    reopened = store.recounting.reopen_window(source.name, window.since, window.until)
    report = score_monitor(source, store, clock, progress=progress, load=load, elsewhere=elsewhere)
    return RescoringReport(reopened, report)
