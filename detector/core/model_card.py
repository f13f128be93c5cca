"""The interface of model cards, common to all kinds of models."""

from typing import Any, Protocol


class ModelCard(Protocol):
    """The numbers stored with a model; a number is None if the model has none."""

    @property
    def kind(self) -> str:
        """The kind of the model, as `jobs.kinds` names it."""
        ...

    @property
    def training_records(self) -> int | None:
        """The number of training records."""
        ...

    @property
    def calibration_records(self) -> int | None:
        """The number of calibration records."""
        ...

    @property
    def held_out_elbo(self) -> float | None:
        """The best held-out ELBO of the training, in nats per record."""
        ...

    @property
    def threshold(self) -> float | None:
        """The score above which every record is an anomaly."""
        ...

    @property
    def false_positive_rate(self) -> float | None:
        """The rate at which thresholds were set."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the card as the `models` table stores it."""
        ...
