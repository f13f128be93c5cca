"""Tries a champion on history without writing anything: against labels, and as a forecast of alarms."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from detector.evaluation import Evaluation, evaluate
from jobs.reading.context import AnyScorer, in_context
from jobs.reading.source import Source
from jobs.scoring import load_scorer
from jobs.store import Store
from jobs.tracking import new_trackers
from schemas.errors import RecordsError, UsageError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, P_VALUE
from schemas.keys import Key, load_key

FORECAST_RATES = (0.1, 0.05, 0.01, 0.005, 0.001, 0.0001)


@dataclass(frozen=True)
class EvaluationReport:
    """An evaluation, and whether records that the model was made from are among those it was tried on."""

    monitor: str
    model_id: int
    evaluation: Evaluation
    includes_training_records: bool


@dataclass(frozen=True)
class Forecast:
    """What the champion would have flagged on history.

    Attributes:
        records: how many were scored.
        flagged: how many the threshold in force would have flagged.
        days: length of the history; None for a monitor without a time column.
        by_day: flagged records of each day.
        by_rate: flagged records for each false-positive rate that one might ask for instead.
        includes_training_records: whether the history contains what the model was made from; then the
            forecast is too low.
    """

    monitor: str
    model_id: int
    records: int
    flagged: int
    days: float | None
    by_day: dict[str, int]
    by_rate: dict[float, int]
    includes_training_records: bool

    @property
    def flagged_per_day(self) -> float | None:
        """Flagged records a day."""
        return self.flagged / self.days if self.days else None


def evaluate_monitor(
    source: Source, store: Store, *, everything: bool = False, progress: Callable[[int], None] | None = None
) -> EvaluationReport:
    """Compare the champion's scores with the label column, on records past those it was made from.

    Args:
        source: the watched table.
        store: the service's own database.
        everything: compare on all records of the table instead.
        progress: called with the number of records scored so far.

    Raises:
        RecordsError: where there are no such records, or their labels are all the same.
        UsageError: where the monitor has no label column.
    """
    label = source.monitor.label
    if label is None:
        raise UsageError(
            f"Monitor {source.name!r} has no label column, so there is nothing to evaluate against. "
            f'Name one in config.toml: label = "is_fault" under [monitors.{source.name}].'
        )
    model_id, scorer, upto = _champion(source, store)
    parts = [
        part[part[label].notna()] for part in _scored(source, scorer, None if everything else upto, progress, label)
    ]
    compared = pd.concat(parts) if parts else pd.DataFrame()
    if not len(compared):
        raise RecordsError(
            "No labelled record lies past those that the model was made from. "
            "Leave newer records out of `normal` in config.toml, or evaluate on all of them with --all."
        )
    result = evaluate(
        compared[ANOMALY_SCORE].to_numpy(),
        compared[IS_ANOMALY].to_numpy(dtype=bool),
        compared[label].to_numpy(dtype=bool),
    )
    return EvaluationReport(source.name, model_id, result, includes_training_records=everything)


def forecast_monitor(source: Source, store: Store, progress: Callable[[int], None] | None = None) -> Forecast:
    """Score history as `score` would, and count; past the records that the model was made from where there are any.

    Raises:
        RecordsError: where the table is empty.
    """
    model_id, scorer, upto = _champion(source, store)
    parts = list(_scored(source, scorer, upto, progress))
    includes_training = not parts
    parts = parts or list(_scored(source, scorer, None, progress))
    if not parts:
        raise RecordsError(f"Monitor {source.name!r} watches an empty table. Fill it, then forecast.")
    history = pd.concat(parts)
    time = source.monitor.time
    times = history[time].dropna() if time else pd.Series(dtype="datetime64[us, UTC]")
    days = (times.max() - times.min()) / pd.Timedelta(days=1) if len(times) > 1 else 0.0
    return Forecast(
        monitor=source.name,
        model_id=model_id,
        records=len(history),
        flagged=int(history[IS_ANOMALY].sum()),
        days=float(days) or None,
        by_day=_by_day(history, time),
        by_rate={rate: int((history[P_VALUE] <= rate).sum()) for rate in _resolvable(scorer)},
        includes_training_records=includes_training,
    )


def _champion(source: Source, store: Store) -> tuple[int, AnyScorer, Key]:
    """The champion's id, the champion, and the last key that it was made from."""
    champion = store.require_champion(source.name)
    scorer = load_scorer(store, champion, source.monitor)
    return champion.model_id, scorer, load_key(scorer.artifact.about["training"]["upto_key"])


def _scored(
    source: Source,
    scorer: AnyScorer,
    after: Key | None,
    progress: Callable[[int], None] | None,
    label: str | None = None,
) -> Iterator[pd.DataFrame]:
    """Score, p-value, decision, time and label of the records past a key, page by page."""
    kept = [name for name in (source.monitor.time, label) if name is not None]
    count, trackers = 0, new_trackers(scorer, source.monitor)
    for page in source.pages(after, with_label=label is not None):
        scored = in_context(scorer, page, source, trackers).score(page)[[ANOMALY_SCORE, P_VALUE, IS_ANOMALY]]
        count += len(page)
        if progress:
            progress(count)
        yield pd.concat([scored, page[kept]], axis=1)


def _by_day(history: pd.DataFrame, time: str | None) -> dict[str, int]:
    if time is None:
        return {}
    flagged = history[IS_ANOMALY].groupby(history[time].dt.strftime("%Y-%m-%d")).sum()
    return {str(day): int(count) for day, count in flagged.items()}


def _resolvable(scorer: AnyScorer) -> list[float]:
    """The rates that the calibration can tell apart."""
    return [rate for rate in FORECAST_RATES if rate >= scorer.smallest_rate]
