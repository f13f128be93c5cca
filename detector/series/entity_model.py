"""One model of series: channels, views and their fusion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from detector.core.neighbours import Neighbours
from detector.series.channels import Channels
from detector.series.deciles import Deciles
from detector.series.fusion import Fusion
from detector.series.numpy_network import TrainedNetwork
from detector.series.settings import SeriesSettings
from detector.series.signals import Forecast, OwnForecast, Views


@dataclass(frozen=True)
class Causes:
    """Why records are unusual, all (n, c).

    Attributes:
        share: of a record's deviation that is due to a channel; sums to 1, or to 0 where nothing deviates.
        deviation: how far the cell is from usual, in standard deviations, with its direction.
        expected: the value forecast from the channel's own past, in the channel's units.
        is_return: whether the value is back in the range of training and the forecast, fed by an unusual past, is not.
    """

    share: np.ndarray
    deviation: np.ndarray
    expected: np.ndarray
    is_return: np.ndarray


@dataclass(frozen=True)
class EntityModel:
    """The model of one entity, or of several together.

    Attributes:
        channels: what each channel was like.
        views: learned from all records.
        fusion: scaled on the held-back records, by views that had not seen them.
        reference: (m,) scores of the held-back records.
        deciles: of all records.
    """

    channels: Channels
    views: Views
    fusion: Fusion
    reference: np.ndarray
    deciles: Deciles

    def scores(self, run: np.ndarray) -> np.ndarray:
        """(n,) anomaly scores of consecutive records (n, c)."""
        return self.fusion.scores(self.views.scores(self.channels.cells(run)))

    def causes(self, run: np.ndarray) -> Causes:
        """The causes of consecutive records (n, c).

        A cell deviates from the channel's mean, from what its own past lets expect, or by doing what it should never
        do: the length of these three. Other channels do not enter, since a culprit would smear its error over them.
        Over an incident the largest deviation of a channel counts: a mean would let a long echo outweigh the moment.
        """
        cells = self.channels.cells(run)
        residual = self.views.own.residual(cells)
        squares = np.square(cells.z) + np.square(residual) + np.square(cells.misconduct)
        total = squares.sum(axis=1, keepdims=True)
        share = np.divide(squares, total, out=np.zeros_like(squares), where=total > 0)
        deviation = np.where(residual < 0, -1, 1) * np.sqrt(squares)
        expected = self.views.own.expected(cells)
        is_return = ~self.channels.is_usual(expected) & self.channels.is_usual(cells.z) & ~cells.is_missing
        return Causes(share, deviation, self.channels.values(expected), is_return)

    def to_state(self) -> dict[str, np.ndarray]:
        """Every number of the model by name."""
        views = self.views
        return {
            **_named("channels/", vars(self.channels)),
            "forecast/weights": views.forecast.weights,
            "forecast/error": views.forecast.error,
            "own/weights": views.own.weights,
            "own/error": views.own.error,
            "views/levels": views.levels.points,
            "views/departures": views.departures.points,
            **_named("network/", views.autoencoder.to_state() if views.autoencoder else {}),
            **{f"fusion/{name}": array for name, array in self.fusion.to_state().items()},
            "reference": self.reference,
            "deciles": self.deciles.ends,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], settings: SeriesSettings) -> Self:
        """The model that gave the state."""
        channels = Channels(**_under("channels/", state))
        views = Views(
            channels.shaped,
            Forecast(**_under("forecast/", state)),
            OwnForecast(**_under("own/", state)),
            Neighbours(state["views/levels"]),
            Neighbours(state["views/departures"]),
            TrainedNetwork.from_state(network) if (network := _under("network/", state)) else None,
        )
        fusion = Fusion(settings.smoothing, **_under("fusion/", state))
        return cls(channels, views, fusion, state["reference"], Deciles(state["deciles"]))


def _named(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def _under(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
