"""Settings in force and proposed ones, side by side on the same history."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from jobs.reading.source import Source
from jobs.store import Store
from jobs.tuning.history import ScoredHistory, read_history
from jobs.tuning.preview import Outcome, Report, outcome_of, report_nothing
from schemas.config import MonitorConfig

if TYPE_CHECKING:
    from detector.core.scorer import Scorer

_Value = TypeVar("_Value")
_MAX_HISTORIES, _MAX_OUTCOMES = 2, 32


@dataclass(frozen=True)
class Comparison:
    """What settings made of a history, and what others would have made of it."""

    model_id: int
    since: datetime | None
    until: datetime | None
    is_cut: bool
    """Whether older records of the span were left out, since there are too many."""
    now: Outcome
    proposed: Outcome


@dataclass(frozen=True)
class Champion:
    """A champion that is ready to score."""

    model_id: int
    scorer: "Scorer"


@dataclass(frozen=True)
class _Trial:
    """Settings to try, with a name for people, at a time."""

    title: str
    monitor: MonitorConfig
    now: datetime


class Comparisons:
    """Compares settings; the newest histories and outcomes are kept, so that the next settings need no scoring.

    It is used by one thread at a time.

    Args:
        report: receives how far a comparison is.
    """

    def __init__(self, report: Report = report_nothing) -> None:
        self._report = report
        self._histories: OrderedDict[Hashable, ScoredHistory] = OrderedDict()
        self._outcomes: OrderedDict[Hashable, Outcome] = OrderedDict()

    def compare(
        self, source: Source, store: Store, champion: Champion, proposed: MonitorConfig, days: int, now: datetime
    ) -> Comparison:
        """Compare proposed settings with those in force.

        Args:
            source: the watched table, with the settings in force.
            store: the service's own database.
            champion: at the rate in force.
            proposed: the settings to try; the maintenance windows in force count for them too.
            days: length of the history.
            now: the time now.

        Raises:
            UsageError: If no record was scored.
            RecordsError: If the records no longer exist.
            RateTooSmall: If the champion cannot resolve the proposed rate.
            SourceError: If the table cannot be read.
        """
        key = (source.name, champion.model_id, days, store.ledger.watermark(source.name), _text(source.monitor))
        history = self._histories.get(key)
        if history is None:
            self._report(lambda: "Scoring the newest records")
            history = read_history(source, store, champion.scorer, champion.model_id, days)
        _keep(self._histories, key, history, _MAX_HISTORIES)
        same = {"maintenance": source.monitor.maintenance, "timeouts": source.monitor.timeouts}
        proposed = proposed.model_copy(update=same)
        labels = tuple((item.anomaly_id, item.label) for item in store.labelled_examples.read(source.name))
        before, after = (
            self._outcome((key, labels, _text(settings)), history, store, _Trial(title, settings, now))
            for title, settings in (("in force", source.monitor), ("proposed", proposed))
        )
        since, until = history.span(now) or (None, None)
        return Comparison(champion.model_id, since, until, history.is_cut, before, after)

    def _outcome(self, key: Hashable, history: ScoredHistory, store: Store, trial: _Trial) -> Outcome:
        outcome = self._outcomes.get(key)
        if outcome is None:
            outcome = outcome_of(history, store, trial.monitor, trial.now, self._report_of(trial))
        _keep(self._outcomes, key, outcome, _MAX_OUTCOMES)
        return outcome

    def _report_of(self, trial: _Trial) -> Report:
        """Return a report that names the settings."""
        return lambda text: self._report(lambda: f"Judging at the settings {trial.title}: {text()}")


def _text(monitor: MonitorConfig) -> str:
    return monitor.model_dump_json()


def _keep(kept: "OrderedDict[Hashable, _Value]", key: Hashable, value: _Value, limit: int) -> None:
    """Keep a value as the newest, and drop the oldest beyond a limit."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > limit:
        kept.popitem(last=False)
