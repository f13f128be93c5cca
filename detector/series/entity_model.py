"""EntityModel: channels, signals and their fusion, for one entity or for several entities that share the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from detector.core.neighbours import Neighbours
from detector.core.normal_band import BAND_ERRORS
from detector.core.vae_scores import Scored, VaeScores
from detector.series.channels import Channels
from detector.series.deciles import Deciles
from detector.series.fusion import Fusion
from detector.series.numpy_network import TrainedNetwork
from detector.series.settings import ScoreName, SeriesSettings
from detector.series.signals import Forecast, OwnForecast, Signals


@dataclass(frozen=True)
class Causes:
    """The causes of the scores of records, all (n, c).

    Attributes:
        share: part of a record's deviation that is due to a channel; sums to 1, or to 0 if nothing deviates.
        deviation: distance of the cell from its usual value in standard deviations, signed.
        expected: the forecast from the channel's own past, in the channel's units.
        is_return: whether the value is back in the range of training while the forecast, from an unusual past, is not.
    """

    share: np.ndarray
    deviation: np.ndarray
    expected: np.ndarray
    is_return: np.ndarray


@dataclass(frozen=True)
class EntityModel:
    """The model of one entity, or of several entities together.

    Attributes:
        channels: the statistics of the channels in training.
        signals: fitted to all records.
        fusion: scaled on the held-back records, by signals fitted without them.
        reference: (m,) scores of the held-back records.
        deciles: of all training records.
        score: name of the anomaly score.
    """

    channels: Channels
    signals: Signals
    fusion: Fusion
    reference: np.ndarray
    deciles: Deciles
    score: ScoreName = "fused"

    def scores(self, run: np.ndarray) -> np.ndarray:
        """Return the anomaly scores (n,) of consecutive records (n, c)."""
        return self.scored(run).scores

    def scored(self, run: np.ndarray) -> Scored:
        """Return the anomaly scores and the VAE scores of consecutive records (n, c), from one pass."""
        signals, vae = self.signals.measure_with_vae(self.channels.cells(run))
        return Scored(chosen_scores(self.score, self.fusion, signals, vae), vae)

    def causes(self, run: np.ndarray) -> Causes:
        """Return the causes of consecutive records (n, c).

        A cell's deviation is the Euclidean norm of three deviations: from the channel's mean, from the forecast of its
        own past, and by a broken rule. Other channels do not enter: a faulty channel would spread its error over them.
        Over an incident the largest deviation of a channel counts: in a mean a long echo would outweigh the event.
        """
        cells = self.channels.cells(run)
        residual = self.signals.own.residual(cells)
        squares = np.square(cells.z) + np.square(residual) + np.square(cells.rule_violation)
        total = squares.sum(axis=1, keepdims=True)
        share = np.divide(squares, total, out=np.zeros_like(squares), where=total > 0)
        deviation = np.where(residual < 0, -1, 1) * np.sqrt(squares)
        expected = self.signals.own.expected(cells)
        is_return = ~self.channels.is_usual(expected) & self.channels.is_usual(cells.z) & ~cells.is_missing
        return Causes(share, deviation, self.channels.values(expected), is_return)

    def normal_band(self, run: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return expected values, and the lower and the upper end of their normal band, for consecutive records (n, c).

        A value is expected by the channel's own past, within the range of training: so a channel that drifts out of
        this range leaves its band, though its own past has drifted along.
        """
        channels = self.channels
        lowest, highest = channels.cells(np.stack([channels.lowest, channels.highest])).z
        z, spread = self.signals.own.expected_with_spread(channels.cells(run))
        expected = channels.values(np.clip(z, lowest, highest))
        spread = spread * channels.deviation
        usual_spread = BAND_ERRORS * self.signals.own.error * channels.deviation
        low = np.maximum(expected - spread, channels.lowest - usual_spread)
        high = np.minimum(expected + spread, channels.highest + usual_spread)
        return expected, np.minimum(low, expected), np.maximum(high, expected)

    def to_state(self) -> dict[str, np.ndarray]:
        """Return every array of the model by name."""
        signals = self.signals
        return {
            **_with_prefix("channels/", vars(self.channels)),
            "forecast/weights": signals.forecast.weights,
            "forecast/error": signals.forecast.error,
            "own/weights": signals.own.weights,
            "own/error": signals.own.error,
            "views/levels": signals.levels.points,  # stored names stay: "views" is an older word for signals
            "views/departures": signals.departures.points,
            **_with_prefix("network/", signals.autoencoder.to_state() if signals.autoencoder else {}),
            **{f"fusion/{name}": array for name, array in self.fusion.to_state().items()},
            "reference": self.reference,
            "deciles": self.deciles.edges,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], settings: SeriesSettings) -> Self:
        """Return the model of a state that `to_state` wrote."""
        channels = Channels(**_without_prefix("channels/", state))
        signals = Signals(
            channels.continuous,
            Forecast(**_without_prefix("forecast/", state)),
            OwnForecast(**_without_prefix("own/", state)),
            Neighbours(state["views/levels"]),
            Neighbours(state["views/departures"]),
            TrainedNetwork.from_state(network) if (network := _without_prefix("network/", state)) else None,
        )
        fusion = Fusion(settings.smoothing, **_without_prefix("fusion/", state))
        return cls(channels, signals, fusion, state["reference"], Deciles(state["deciles"]), settings.score)


def chosen_scores(score: ScoreName, fusion: Fusion, signals: np.ndarray, vae: VaeScores | None) -> np.ndarray:
    """Return the anomaly scores (n,) of a run by name, from its signals (n, k) and its VAE scores."""
    return fusion.scores(signals) if score == "fused" or vae is None else np.asarray(getattr(vae, score))


def _with_prefix(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def _without_prefix(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
