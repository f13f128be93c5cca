"""One model of series: channels, views and their fusion, learned from runs of normal records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from detector.neighbours import Neighbours
from detector.series.channels import Channels
from detector.series.fusion import Fusion
from detector.series.settings import SeriesSettings
from detector.series.views import Forecast, OwnForecast, Views
from schemas.errors import NotEnoughRecords

HELD_BACK = 0.2  # last share of the training records: what the views say of them scales the fusion
MANY_RUNS = 5  # from here on whole runs are held back
FEWEST_RECORDS = 50


@dataclass(frozen=True)
class Causes:
    """Why records are unusual, all (n, c).

    Attributes:
        share: of a record's deviation that is due to a channel; sums to 1, or to 0 where nothing deviates.
        deviation: how far the cell is from usual, in standard deviations, with its direction.
        expected: the value forecast from the channel's own past, in the channel's units.
    """

    share: np.ndarray
    deviation: np.ndarray
    expected: np.ndarray


@dataclass(frozen=True)
class EntityModel:
    """The model of one entity, or of several together.

    Attributes:
        channels: what each channel was like.
        views: learned from all records.
        fusion: scaled on the held-back records, by views that had not seen them.
        reference: (m,) scores of the held-back records.
    """

    channels: Channels
    views: Views
    fusion: Fusion
    reference: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[np.ndarray], settings: SeriesSettings) -> Self:
        """The model of runs of normal records, each (n, c).

        Raises:
            NotEnoughRecords: where there are fewer than 50.
        """
        found = sum(map(len, runs))
        if found < FEWEST_RECORDS:
            raise NotEnoughRecords(found, FEWEST_RECORDS, "to train a series model")
        said = _held_back_views(runs, settings)
        fusion = Fusion.fit(said, settings.smoothing)
        reference = np.concatenate([fusion.scores(run) for run in said])
        channels, views = _fit_views(runs, settings)
        return cls(channels, views, fusion, reference)

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
        return Causes(share, deviation, self.channels.values(self.views.own.expected(cells)))

    def to_state(self) -> dict[str, np.ndarray]:
        """Every number of the model by name."""
        views = self.views
        return {
            **{f"channels/{name}": array for name, array in vars(self.channels).items()},
            "forecast/weights": views.forecast.weights,
            "forecast/error": views.forecast.error,
            "own/weights": views.own.weights,
            "own/error": views.own.error,
            "views/levels": views.levels.points,
            "views/departures": views.departures.points,
            **{f"fusion/{name}": getattr(self.fusion, name) for name in ("median", "centre", "spread")},
            "reference": self.reference,
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
        )
        return cls(channels, views, Fusion(settings.smoothing, **_under("fusion/", state)), state["reference"])


def _fit_views(runs: Sequence[np.ndarray], settings: SeriesSettings) -> tuple[Channels, Views]:
    channels = Channels.fit(runs)
    cells = [channels.cells(run) for run in runs]
    return channels, Views.fit(cells, channels.shaped, settings.reference)


def _held_back_views(runs: Sequence[np.ndarray], settings: SeriesSettings) -> list[np.ndarray]:
    """What views learned from the earlier records say of the last fifth, each run with its own past."""
    starts = _starts(runs)
    earlier = [run[:start] for run, start in zip(runs, starts, strict=True) if start]
    channels, views = _fit_views(earlier, settings)
    later = [(run, start) for run, start in zip(runs, starts, strict=True) if start < len(run)]
    return [views.scores(channels.cells(run))[start:] for run, start in later]


def _starts(runs: Sequence[np.ndarray]) -> list[int]:
    """Where the held-back rows of each run start: of many runs the last fifth of them is held back whole."""
    if len(runs) >= MANY_RUNS:
        kept = round((1 - HELD_BACK) * len(runs))
        return [len(run) if position < kept else 0 for position, run in enumerate(runs)]
    return [int(np.ceil((1 - HELD_BACK) * len(run))) for run in runs]


def _under(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
