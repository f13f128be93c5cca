"""The interface that hides the differences between kinds of model. All other code of `jobs` serves every kind alike."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from detector.core.model_card import ModelCard
from jobs.kinds.card_text import CardText

if TYPE_CHECKING:
    from detector.core.scorer import Scorer
    from detector.records.model import Model
    from jobs.reading.source import Source
    from jobs.store import Champion
    from jobs.training.trainer import Trainer
    from schemas.config import MonitorConfig

LoadGenerator: TypeAlias = "Callable[[bytes, Champion, MonitorConfig], Model]"


class Kind(Protocol):
    """A kind of model: how it is loaded, trained and described."""

    name: str
    null_feature: Literal["warning", "error"]
    """How a check reports a feature that is null in every record."""

    @property
    def card_text(self) -> CardText:
        """The text of the cards of such models."""
        ...

    @property
    def load_generator(self) -> "LoadGenerator | None":
        """The function that loads a champion as a generative model of records; None if no such model exists."""
        ...

    def load(self, blob: bytes, champion: "Champion", monitor: "MonitorConfig") -> "Scorer":
        """Load a champion, ready to score at the rates of the monitor.

        Raises:
            ArtifactError: If the blob is not the model that was trained, or does not fit the monitor.
            RateTooSmall: If its calibration records cannot resolve the rate.
        """
        ...

    def past_columns(self, monitor: "MonitorConfig") -> tuple[str, ...]:
        """Return the columns by which the past of a record is searched for; none if each record is scored alone."""
        ...

    def trainer(self, source: "Source") -> "Trainer[Any]":
        """Return the trainer of a model on a watched table."""
        ...

    def read_card(self, card: Mapping[str, Any]) -> ModelCard:
        """Read the card of a model from the store's JSON."""
        ...
