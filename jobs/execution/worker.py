"""What workers do: functions that an executor calls in other processes, with everything they need as arguments.

A worker reaches the two databases by itself. The configuration comes with each task as text, in which references to
environment variables stay references, so that no password travels unless it is written in the file.
"""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.app import App
from jobs.champions import Scorers
from jobs.execution.kept_sources import KeptSources
from jobs.scoring.history import RangeToScore, ScoredRange, score_range
from jobs.scoring.outcomes import BatchOutcome
from jobs.scoring.run import score_next
from jobs.store import Champion
from jobs.store.ledger import Choice
from schemas.config import read_text

if TYPE_CHECKING:
    from jobs.training.retraining import RequestOutcome

_SITES_KEPT = 4
_PATIENCE_SECONDS = 10.0  # without a finished batch, for a turn; the task before it may wait for this worker


@dataclass(frozen=True)
class Settings:
    """A configuration on its way to a worker.

    Attributes:
        path: of the file, for errors and relative SQLite files.
        text: of the file, with its references to environment variables.
        command: an id of the command that sends it.
    """

    path: Path
    text: str
    command: str = field(default_factory=lambda: uuid4().hex, compare=False)

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """Read a configuration file.

        Raises:
            ConfigError: If it cannot be read.
        """
        return cls(path.absolute(), read_text(path))


@dataclass(frozen=True)
class _Site:
    """What a worker keeps from task to task: connections to the store and to sources, and champions."""

    app: App
    scorers: Scorers
    sources: KeptSources


@lru_cache(_SITES_KEPT)
def _site(settings: Settings) -> _Site:
    app = App(settings.path, settings.text)
    return _Site(app, Scorers(), KeptSources(app))


def score_next_batch(settings: Settings, monitor: str, token: str, exclude: tuple[int, ...]) -> BatchOutcome | None:
    """Claim a batch of a monitor and score it; return None if there is none.

    A repeated call has the same token, and takes up the batch of the lost one.
    """
    site = _site(settings)
    with site.sources.borrowed(settings.command, monitor, site.app.monitor(monitor)) as source:
        return score_next(
            source,
            site.app.store,
            site.app.clock,
            load=site.scorers.load,
            choice=Choice(source.monitor.is_in_order, exclude, token),
            should_stop=Patience(_PATIENCE_SECONDS, partial(site.app.store.turns.count_unfinished, monitor)),
        )


class Patience:
    """The patience of a worker that waits: over once the work left has not become less for some seconds.

    Args:
        seconds: from the first call on, and again from each call that finds less work.
        count_left: counts the work that is left.
        clock: seconds of a steady clock.
    """

    def __init__(
        self, seconds: float, count_left: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._count_left, self._clock = seconds, count_left, clock
        self._since, self._left = -math.inf, sys.maxsize

    def __call__(self) -> bool:
        """Return whether it is over."""
        if self._clock() - self._since <= self._seconds:
            return False
        left = self._count_left()
        is_over, self._since, self._left = left >= self._left, self._clock(), left
        return is_over


def score_history(settings: Settings, champion: Champion, part: RangeToScore) -> ScoredRange:
    """Score the records of a key range without writing anything."""
    site = _site(settings)
    monitor = site.app.monitor(champion.monitor)
    with site.sources.borrowed(settings.command, champion.monitor, monitor) as source:
        scorer = site.scorers.load(site.app.store, champion, monitor)
        return score_range(source, site.app.store, champion.model_id, scorer, part)


def train_on_request(settings: Settings, monitor: str, claimant: str) -> "list[RequestOutcome]":
    """Train a monitor for which a retrain request waits, and close the request.

    A repeated call has the same claimant, and takes up the request of the lost one.
    """
    from jobs.training.retraining import work_requests

    with App.opened(settings.path, settings.text) as app:
        app.store.requests.release_all(claimant)
        app.choose_backend()
        return work_requests(app.config, app.store, app.source, app.clock, claimant, only=monitor)
