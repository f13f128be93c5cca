"""Scores history again with the champion, batch by batch."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.reading.source import Source
from jobs.scoring.run import Progress, ScoringReport, load_scorer, score_monitor
from jobs.store import Champion, Store
from schemas.config import MonitorConfig
from schemas.errors import UsageError

if TYPE_CHECKING:
    from jobs.reading.context import AnyScorer


@dataclass(frozen=True)
class Window:
    """A span of record time; its end does not belong to it."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.until <= self.since:
            msg = f"The window ends at {self.until}, which is not after its begin {self.since}. Swap the two."
            raise UsageError(msg)


@dataclass(frozen=True)
class RescoringReport:
    """What scoring history again did."""

    reopened: int
    """Batches that overlap the window, and were done."""
    scoring: ScoringReport


def rescore_monitor(
    source: Source,
    store: Store,
    clock: Callable[[], datetime],
    window: Window,
    progress: Callable[[Progress], None] | None = None,
    load: Callable[[Store, Champion, MonitorConfig], "AnyScorer"] = load_scorer,
) -> RescoringReport:
    """Score every batch that overlaps a window again; rows that the champion does not find again are superseded.

    The batches go back to the ledger first. So a run that is interrupted is taken up by the next, whoever starts it.

    Raises:
        NoChampion: where no model has been trained; nothing is reopened then.
    """
    store.models.require_champion(source.name)
    reopened = store.recounting.reopen_window(source.name, window.since, window.until)
    return RescoringReport(reopened, score_monitor(source, store, clock, progress=progress, load=load))
