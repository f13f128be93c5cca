"""Views: each looks at a record and its past in one way and says how unusual it is.

- *level*: distance of [value, short mean, volatility] to the nearest such triples of training;
- *departure*: the same for values relative to their long mean, which drift leaves alone;
- *forecast*: error of a linear forecast from the past alone, so that the record cannot explain itself;
- *breach*: a channel is silent, or takes a value that it never had;
- *stuck*: a channel that always moved stands still;
- *loss* and *latent*, where a network was trained: how badly it rebuilds level and departure, and the distance to the
  nearest latents of training.

No view of a single row is enough: slow drift shows in the first, a step in the second, a broken rhythm in the third.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from detector.core.neighbours import Neighbours
from detector.core.products import SERIES_BLOCK, blocked_product
from detector.core.subsample import subsample_rows
from detector.series.channels import STILL_ROWS, Cells
from detector.series.numpy_network import Autoencoder
from detector.series.running_means import lagged, past_mean, rows_of, running_mean

SHORT, VOLATILITY, LONG = 8, 16, 256  # half-lives in rows
MEMORIES = (8, 64)  # half-lives of the forecast's averages of the past
LAGS = (1, 2)
NEIGHBOURS = 5
RIDGE = 1e-3  # per record
LEAST_ERROR = 0.05  # standard deviations: a perfectly forecast channel must not own the whole score
HINT = 0.4  # what a stuck channel says: idle machines stand still too
VIEWS = ("level", "departure", "forecast", "breach", "stuck")
RULES = ("breach", "stuck")  # views that state a rule
CONTEXT = max(rows_of(LONG) + rows_of(SHORT) - 1, rows_of(VOLATILITY) + rows_of(SHORT) - 1, STILL_ROWS)


def level(z: np.ndarray) -> np.ndarray:
    """(n, 3 c) float32: the value, its short mean and its volatility, for cells (n, c)."""
    return np.concatenate([z, running_mean(z, SHORT), _volatility(z)], axis=1).astype(np.float32)


def departure(z: np.ndarray) -> np.ndarray:
    """(n, 3 c) float32: as `level`, for the value less its long mean."""
    apart = z - past_mean(z, LONG)
    return np.concatenate([apart, running_mean(apart, SHORT), _volatility(z)], axis=1).astype(np.float32)


def profile(z: np.ndarray) -> np.ndarray:
    """(n, 5 c) float32: what a network sees of cells (n, c)."""
    return _profile(level(z), departure(z))


def _profile(levels: np.ndarray, departures: np.ndarray) -> np.ndarray:
    """Both, the volatility once."""
    return np.concatenate([levels, departures[:, : 2 * departures.shape[1] // 3]], axis=1)


def _volatility(z: np.ndarray) -> np.ndarray:
    """(n, c): the size of recent steps away from the short mean."""
    return np.sqrt(running_mean(np.square(z - past_mean(z, SHORT)), VOLATILITY))


@dataclass(frozen=True)
class Forecast:
    """Each channel from the past of all: linear, by ridge regression on lags and averages of the past.

    Attributes:
        weights: (1 + 4 c, c) float64, the constant first.
        error: (c,) float64, standard deviation of the residual.
    """

    weights: np.ndarray
    error: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[Cells]) -> Self:
        """The forecast by runs of normal records."""
        past = np.concatenate([_past(run.z) for run in runs])
        z = np.concatenate([run.z for run in runs])
        penalty = max(1.0, RIDGE * len(past)) * np.eye(past.shape[1])
        penalty[0, 0] = 0
        gram = past.T @ past + penalty + 1e-9 * np.eye(len(penalty))
        weights = np.linalg.solve(gram, past.T @ z)
        return cls(weights, _usual_error(z - past @ weights, runs))

    def expected(self, cells: Cells) -> np.ndarray:
        """(n, c): the forecast of each cell; none of the record's own cells enters it."""
        return blocked_product(_past(cells.z), self.weights, SERIES_BLOCK)

    def residual(self, cells: Cells) -> np.ndarray:
        """(n, c): what the forecast missed, as `_missed` counts it."""
        return _missed(cells, self.expected(cells), self.error)


@dataclass(frozen=True)
class OwnForecast:
    """Each channel from its own past alone: a culprit's past cannot spoil what is expected of the others.

    Attributes:
        weights: (5, c) float64 of the constant, the lags and the averages.
        error: (c,) float64, standard deviation of the residual.
    """

    weights: np.ndarray
    error: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[Cells]) -> Self:
        """The forecast by runs of normal records."""
        past = np.concatenate([_own_past(run.z) for run in runs], axis=1)  # (5, n, c)
        z = np.concatenate([run.z for run in runs])
        penalty = max(1.0, RIDGE * len(z)) * np.diag([1e-9, *np.ones(len(past) - 1)])
        gram = np.einsum("anc,bnc->cab", past, past, optimize=True) + penalty
        weights = np.linalg.solve(gram, np.einsum("anc,nc->ca", past, z)[:, :, None])[:, :, 0].T
        residual = z - (past * weights[:, None]).sum(axis=0)
        return cls(weights, _usual_error(residual, runs))

    def expected(self, cells: Cells) -> np.ndarray:
        """(n, c): the forecast of each cell."""
        return (_own_past(cells.z) * self.weights[:, None]).sum(axis=0)

    def residual(self, cells: Cells) -> np.ndarray:
        """(n, c): what the forecast missed, as `_missed` counts it."""
        return _missed(cells, self.expected(cells), self.error)


def _missed(cells: Cells, expected: np.ndarray, error: np.ndarray) -> np.ndarray:
    """(n, c): what a forecast missed, in its usual errors (c,); 0 where the cell is missing.

    It counts as much as the share of the longest average that the records so far fill.
    """
    missed = np.where(cells.is_missing, 0, (cells.z - expected) / error)
    return missed * _filled(len(missed), max(MEMORIES))[:, None]


def _usual_error(residual: np.ndarray, runs: Sequence[Cells]) -> np.ndarray:
    """(c,): standard deviation of the residuals of cells that are there, and a little more."""
    known = ~np.concatenate([run.is_missing for run in runs])
    squares = np.where(known, np.square(residual), 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.sqrt(squares) + LEAST_ERROR


def _own_past(z: np.ndarray) -> np.ndarray:
    """(5, n, c): one, and what is known of a cell before it comes."""
    parts = [*(lagged(z, rows) for rows in LAGS), *(past_mean(z, life) for life in MEMORIES)]
    return np.stack([np.ones_like(z), *parts])


def _past(z: np.ndarray) -> np.ndarray:
    """(n, 1 + 4 c): what is known of a record before it comes."""
    return np.concatenate([np.ones((len(z), 1)), *_own_past(z)[1:]], axis=1)


@dataclass(frozen=True)
class Views:
    """The views of one model.

    Attributes:
        shaped: positions of the channels whose shape counts.
        forecast: of all channels, for the score.
        own: of all channels, for the causes.
        levels: (m, 3 s) float32, training records that the level is compared with.
        departures: (m, 3 s) float32, the same for the departure.
        autoencoder: of the profile, where there is one.
    """

    shaped: np.ndarray
    forecast: Forecast
    own: OwnForecast
    levels: Neighbours
    departures: Neighbours
    autoencoder: Autoencoder | None = None

    @classmethod
    def fit(cls, runs: Sequence[Cells], shaped: np.ndarray, reference: int) -> Self:
        """The views by runs of normal records, of which at most `reference`, evenly spread, are kept."""
        kept = [run.z[:, shaped] for run in runs]
        return cls(
            shaped,
            Forecast.fit(runs),
            OwnForecast.fit(runs),
            Neighbours(subsample_rows(np.concatenate([level(z) for z in kept]), reference)),
            Neighbours(subsample_rows(np.concatenate([departure(z) for z in kept]), reference)),
        )

    def scores(self, cells: Cells) -> np.ndarray:
        """(n, 5) or (n, 7): what each view says of each record; of a young series little, since all of it is new."""
        z = cells.z[:, self.shaped]
        levels, departures = level(z), departure(z)
        distances = [
            self.levels.mean_distance(levels, NEIGHBOURS),
            self.departures.mean_distance(departures, NEIGHBOURS),
        ]
        filled = _filled(len(z), VOLATILITY)
        said = [
            *(filled * distance for distance in distances),
            np.abs(self.forecast.residual(cells)[:, self.shaped]).sum(axis=1),
            cells.breach.max(axis=1),
            HINT * cells.is_stuck.any(axis=1),
        ]
        if self.autoencoder:
            said += list(filled * self.autoencoder.scores(_profile(levels, departures)).T)
        return np.stack(said, axis=1)


def _filled(n: int, half_life: int) -> np.ndarray:
    """(n,): the share of an average of the past that a run's records so far fill."""
    return past_mean(np.ones(n), half_life)
