"""The steps of a training that differ between kinds of model; `jobs.training.train` puts them in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

import pandas as pd

from detector.core.comparison import Performance
from detector.core.model_card import ModelCard
from detector.core.scorer import Scorer
from jobs.store.feedback import Feedback
from jobs.training.training_set import Parts, TrainingSet

if TYPE_CHECKING:
    from detector.core.progress import Epoch
    from jobs.training.champion_comparison import Rival

S = TypeVar("S", bound=Scorer)
S_contra = TypeVar("S_contra", bound=Scorer, contravariant=True)
Progress: TypeAlias = "Callable[[Epoch], None] | None"


@dataclass(frozen=True)
class FittedModel(Generic[S]):
    """A trained and calibrated model, before it is stored.

    Attributes:
        scorer: at the rate of the monitor.
        blob: the artifact.
        manifest: the artifact without its arrays, as JSON holds it.
    """

    scorer: S
    blob: bytes
    manifest: Mapping[str, Any]


class Benchmark(Protocol[S_contra]):
    """The records that champion and challenger are measured on, and how they are measured."""

    @property
    def rate(self) -> float | None:
        """The requested false-positive rate; None if no rate sets the threshold."""
        ...

    @property
    def cells(self) -> int:
        """Cells of the challenger's matrix."""
        ...

    @property
    def note(self) -> str | None:
        """The limits of the comparison, in a sentence; None if everything can be compared."""
        ...

    def measure(self, scorer: S_contra) -> Performance:
        """Measure a model.

        Raises:
            RecordsError: If the model cannot score the records.
        """
        ...


class Trainer(Protocol[S]):
    """Trains models of one kind on one watched table."""

    def usable(self, normal: TrainingSet) -> TrainingSet:
        """Return the normal records that a model of this kind can learn from.

        Raises:
            NotEnoughRecords: If there are none.
        """
        ...

    def split(self, normal: TrainingSet, rival: "Rival[S] | None") -> Parts:
        """Split normal records into parts to train on, to calibrate with, and to compare with the champion on.

        Raises:
            RecordsError: If they are too few to train on, or for the false-positive rate.
        """
        ...

    def fit(self, normal: TrainingSet, parts: Parts, feedback: Feedback, progress: Progress) -> FittedModel[S]:
        """Train and calibrate a model; the same records and labels give the same model.

        Args:
            normal: all records that the model is made from, which it records.
            parts: the normal records by their use.
            feedback: the labels of records.
            progress: called after each epoch of networks.

        Raises:
            RecordsError: If the records are too few.
        """
        ...

    def benchmark(
        self, fitted: FittedModel[S], rival: "Rival[S] | None", parts: Parts, feedback: Feedback
    ) -> Benchmark[S]:
        """Return the benchmark that decides between the model and the champion."""
        ...

    def held_out(self, parts: Parts) -> pd.DataFrame:
        """Return the normal records that the networks were not trained on."""
        ...

    def card(self, fitted: FittedModel[S], parts: Parts) -> ModelCard:
        """Make the card of the model."""
        ...
