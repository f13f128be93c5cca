"""Has the work of a command done on the configured executor."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.app import App
from jobs.execution.engine import engine_of
from jobs.execution.tasks import Tasks
from jobs.execution.worker import Settings, score_history, score_next_batch, train_on_request
from jobs.scoring.history import RangeToScore, ScoredRange
from jobs.scoring.outcomes import BatchOutcome, Failures
from jobs.store import Champion

if TYPE_CHECKING:
    from jobs.training.retraining import RequestOutcome

MAX_RANGES_AT_ONCE = 16  # their records and scores come back, and may wait for the first of them
_CLAIMANT_LENGTH = 12


@dataclass(frozen=True)
class Workers:
    """The workers of the configured executor, as the commands use them.

    Attributes:
        app: the application.
        tasks: on the executor.
        settings: the configuration, as it travels with each task.
    """

    app: App
    tasks: Tasks
    settings: Settings

    def score_batches(
        self, monitor: str, failures: Failures, should_stop: Callable[[], bool]
    ) -> Iterator[BatchOutcome]:
        """Score the claimable batches of a monitor until only failed ones are left, or the run is to stop."""
        ledger, clock = self.app.store.ledger, self.app.clock
        while not should_stop() and ledger.has_claimable(monitor, clock(), tuple(failures.by_batch)):
            calls = (
                (self.settings, monitor, str(uuid4()), tuple(failures.by_batch))
                for _ in range(max(1, ledger.count_pending(monitor)))
                if not should_stop()
            )
            for outcome in self.tasks.results(score_next_batch, calls):
                if outcome is not None:
                    failures.add(outcome)
                    yield outcome

    def score_history(self, champion: Champion, parts: Iterator[RangeToScore]) -> Iterator[ScoredRange]:
        """Score key ranges with a champion; yield them in their order."""
        tasks = replace(self.tasks, at_once=min(self.tasks.at_once, MAX_RANGES_AT_ONCE))
        return tasks.results(score_history, ((self.settings, champion, part) for part in parts))

    def train(self) -> "list[RequestOutcome]":
        """Train every monitor for which a request waits, each on a worker."""
        claimable = [
            name for name in self.app.config.monitors if self.app.store.requests.has_claimable([name], self.app.clock())
        ]
        calls = ((self.settings, name, uuid4().hex[:_CLAIMANT_LENGTH]) for name in claimable)
        return [outcome for outcomes in self.tasks.results(train_on_request, calls) for outcome in outcomes]


def workers_of(app: App) -> Workers | None:
    """Return the workers of the configured executor; None if commands compute in their own process.

    Raises:
        ConfigError: If the executor is not installed, or cannot be found.
    """
    engine = engine_of(app.config.runtime)
    if engine is None:
        return None
    return Workers(app, Tasks(engine, app.config.runtime.tasks), Settings.read(app.path))
