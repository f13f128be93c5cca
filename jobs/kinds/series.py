"""Models of series: a record is scored with the past of its entity."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from jobs.kinds.series_card import SeriesCardText
from schemas.errors import ArtifactError

if TYPE_CHECKING:
    from detector.series.card import SeriesCard
    from detector.series.scorer import SeriesScorer
    from jobs.reading.source import Source
    from jobs.store import Champion
    from jobs.training.series_training import SeriesTrainer
    from schemas.config import MonitorConfig


class SeriesKind:
    """Models of series."""

    name = "series"
    null_feature: Literal["warning", "error"] = "warning"  # a series learns that the channel is silent
    card_text = SeriesCardText()
    load_generator = None

    def load(self, blob: bytes, champion: "Champion", monitor: "MonitorConfig") -> "SeriesScorer":
        """Load a champion, ready to score at the rate of the monitor.

        Raises:
            ArtifactError: If the blob is not the model that was trained, or learned records of another grid of time.
        """
        from detector.series.artifact import load_series
        from detector.series.scorer import SeriesScorer

        scorer = SeriesScorer(load_series(blob, champion.sha256), monitor.false_positive_rate)
        if scorer.about.grid != monitor.grid:
            msg = (
                f"Model {champion.model_id} of monitor {champion.monitor!r} learned records "
                f"{_on_grid(scorer.about.grid)}, and the monitor now has them {_on_grid(monitor.grid)}. "
                "Train it again, or undo the change of `resample`."
            )
            raise ArtifactError(msg)
        return scorer

    def past_columns(self, monitor: "MonitorConfig") -> tuple[str, ...]:
        """Return the entity, if there is one, and the time."""
        if monitor.time is None:
            return ()
        return (monitor.time,) if monitor.entity is None else (monitor.entity, monitor.time)

    def trainer(self, source: "Source") -> "SeriesTrainer":
        """Return the trainer of a model on a watched table."""
        from jobs.training.series_training import SeriesTrainer

        return SeriesTrainer(source)

    def read_card(self, card: Mapping[str, Any]) -> "SeriesCard":
        """Read the card of a model from the store's JSON."""
        from detector.series.card import SeriesCard

        return SeriesCard.from_json(card)


def _on_grid(grid: str | None) -> str:
    return "as they come" if grid is None else f"on a grid of {grid}"
