"""Signals: each is one measure of how unusual a record is, given its past.

- *level*: distance of [value, short mean, volatility] to the nearest such triples of training;
- *departure*: the same for values relative to their long mean, which slow drift does not change;
- *forecast*: error of a linear forecast from the past alone, so that the record cannot explain itself;
- *breach*: a channel is missing, or has a value never seen in training;
- *stuck*: a channel that always moved stands still;
- *relation*, if there are few channels: error of each channel as the others of the same record explain it;
- *dispersion*, if there are few channels: a channel varies more or less from record to record than it ever did;
- *calendar*, if channels follow one: distance from the value that is usual at this time of the week;
- *total*, if there are many channels: sum of their deviations in level and departure, none of which may be large;
- *loss* and *latent*, if a network was trained: its reconstruction error of level and departure, and the distance to
  the nearest latents of training.

A glitch is not remembered: means, volatility and forecasts take the past from `Cells.kept`.

No single signal is enough: slow drift shows in the level, a step in the departure, a broken rhythm in the forecast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from detector.core.arithmetic import products
from detector.core.neighbours import Neighbours
from detector.core.normal_band import BAND_ERRORS
from detector.core.subsample import subsample_rows
from detector.core.vae_scores import VaeScores
from detector.series.channels import MEDIAN_ROWS, Cells
from detector.series.dispersion import Dispersion
from detector.series.line import Line
from detector.series.numpy_network import TrainedNetwork
from detector.series.relation import MAX_CHANNELS, Relation
from detector.series.running_means import (
    lagged,
    mean_after,
    past_mean,
    running_mean,
    spread_around_mean,
    window_rows,
)
from detector.series.standing import MAX_LONG_STILL_ROWS
from detector.series.total import Total

SHORT, VOLATILITY, LONG = 8, 16, 256  # half-lives in rows
FORECAST_HALF_LIVES = (8, 64)  # rows, of the averages of the past that a forecast starts from
FORECAST_LAGS = (1, 2)  # rows
PREDICTORS = 1 + len(FORECAST_LAGS) + len(FORECAST_HALF_LIVES)  # of a channel: a constant, lags and averages
NEIGHBOURS = 5
RIDGE = 1e-3  # per record
MIN_ERROR = 0.05  # standard deviations: a perfectly forecast channel must not dominate the score
MAX_SCALE_RECORDS = 8000  # from which the scale of the total is computed
MIN_FILLED_SHARE = 1e-3  # of the average of the past: the first record of a run has none
SIGNALS = ("level", "departure", "forecast", "breach", "stuck")
RULE_SIGNALS = ("breach", "stuck")
RELATION_SIGNALS = ("relation",)
DISPERSION_SIGNALS = ("dispersion",)
CALENDAR_SIGNALS = ("calendar",)
TOTAL_SIGNALS = ("total",)
NETWORK_SIGNALS = ("loss", "latent")
CONTEXT_ROWS = max(
    window_rows(LONG) + window_rows(SHORT) - 1 + MEDIAN_ROWS,
    window_rows(VOLATILITY) + window_rows(SHORT) - 1 + MEDIAN_ROWS,
    MAX_LONG_STILL_ROWS,
)


def signal_names(
    *, has_relation: bool, has_dispersion: bool, has_calendar: bool, has_network: bool, has_total: bool
) -> tuple[str, ...]:
    """Return the names of the signals of a model, in order."""
    optional = (
        (RELATION_SIGNALS, has_relation),
        (DISPERSION_SIGNALS, has_dispersion),
        (CALENDAR_SIGNALS, has_calendar),
        (TOTAL_SIGNALS, has_total),
        (NETWORK_SIGNALS, has_network),
    )
    return (*SIGNALS, *(name for names, is_present in optional if is_present for name in names))


def level(z: np.ndarray, kept: np.ndarray, line: Line | None = None) -> np.ndarray:
    """Return the value, its short mean and its volatility, (n, 3 c) float32.

    Args:
        z: cells (n, c).
        kept: the same cells as they enter the past of later rows.
        line: of the rows; None if all are past for later rows.
    """
    return np.concatenate([z, mean_after(z, kept, SHORT, line), _volatility(z, kept, line)], axis=1).astype(np.float32)


def departure(z: np.ndarray, kept: np.ndarray, line: Line | None = None) -> np.ndarray:
    """Return the same as `level`, for the value minus its long mean."""
    mean = past_mean(kept, LONG, line)
    short_mean = mean_after(z - mean, kept - mean, SHORT, line)
    return np.concatenate([z - mean, short_mean, _volatility(z, kept, line)], axis=1).astype(np.float32)


def profile(cells: Cells, continuous: np.ndarray) -> np.ndarray:
    """Return what networks and the total see of s continuous channels, (n, 5 s) or with a calendar (n, 7 s) float32."""
    z, kept = cells.z[:, continuous], cells.kept[:, continuous]
    return _profile(_level(cells, continuous), departure(z, kept, cells.line), _season(cells, continuous))


def _level(cells: Cells, continuous: np.ndarray) -> np.ndarray:
    """Return the level of the continuous channels, (n, 3 s), whatever the season."""
    z, kept = (cells.without_season(own)[:, continuous] for own in (cells.z, cells.kept))
    return level(z, kept, cells.line)


def profile_blocks(*, has_calendar: bool) -> int:
    """Return the number of features of a channel in `profile`."""
    return 7 if has_calendar else 5


def _profile(levels: np.ndarray, departures: np.ndarray, season: np.ndarray) -> np.ndarray:
    """Join levels, departures and distances from the calendar, with the volatility once."""
    return np.concatenate([levels, departures[:, : 2 * departures.shape[1] // 3], season], axis=1)


def _season(cells: Cells, continuous: np.ndarray) -> np.ndarray:
    """Return the distance from the usual value at this time of the week and its short mean, (n, 2 s); else (n, 0)."""
    if cells.usual is None:
        return np.zeros((len(cells.z), 0), dtype=np.float32)
    deviation = cells.deviation[:, continuous]
    return np.concatenate([deviation, running_mean(deviation, SHORT, cells.line)], axis=1).astype(np.float32)


def _volatility(z: np.ndarray, kept: np.ndarray, line: Line | None) -> np.ndarray:
    """Return the size of recent steps away from the short mean, (n, c)."""
    return spread_around_mean(z, kept, (SHORT, VOLATILITY), line)


@dataclass(frozen=True)
class Forecast:
    """Forecast of each channel from the past of all channels: ridge regression on lags and averages of the past.

    Attributes:
        weights: (1 + 4 c, c) float64, the constant first.
        error: (c,) float64, standard deviation of the residual.
    """

    weights: np.ndarray
    error: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[Cells]) -> Self:
        """Fit the forecast to runs of normal records."""
        past = np.concatenate([_past(run) for run in runs])
        z = np.concatenate([run.relative for run in runs])
        penalty = max(1.0, RIDGE * len(past)) * np.eye(past.shape[1])
        penalty[0, 0] = 0
        gram = past.T @ past + penalty + 1e-9 * np.eye(len(penalty))
        weights = np.linalg.solve(gram, past.T @ z)
        return cls(weights, _usual_error(z - past @ weights, runs))

    def expected(self, cells: Cells, own_past: np.ndarray | None = None) -> np.ndarray:
        """Return the forecast (n, c) of each cell, from earlier records only; `own_past` saves computing it again."""
        return _from_usual(cells, products(_past(cells, own_past), self.weights))

    def residual(self, cells: Cells, own_past: np.ndarray | None = None) -> np.ndarray:
        """Return the standardised error of the forecast, (n, c)."""
        return _standardised_residual(cells, self.expected(cells, own_past), self.error)


@dataclass(frozen=True)
class OwnForecast:
    """Forecast of each channel from its own past alone, so that a faulty channel cannot spoil the other forecasts.

    Attributes:
        weights: (5, c) float64, of the constant, the lags and the averages.
        error: (c,) float64, standard deviation of the residual.
    """

    weights: np.ndarray
    error: np.ndarray

    @classmethod
    def fit(cls, runs: Sequence[Cells]) -> Self:
        """Fit the forecast to runs of normal records."""
        past = np.concatenate([_own_past(run) for run in runs], axis=1)  # (5, n, c)
        z = np.concatenate([run.relative for run in runs])
        penalty = max(1.0, RIDGE * len(z)) * np.diag([1e-9, *np.ones(len(past) - 1)])
        gram = np.einsum("anc,bnc->cab", past, past, optimize=True) + penalty
        weights = np.linalg.solve(gram, np.einsum("anc,nc->ca", past, z)[:, :, None])[:, :, 0].T
        residual = z - (past * weights[:, None]).sum(axis=0)
        return cls(weights, _usual_error(residual, runs))

    def expected(self, cells: Cells, own_past: np.ndarray | None = None) -> np.ndarray:
        """Return the forecast (n, c) of each cell; `own_past` saves computing it again."""
        past = _own_past(cells) if own_past is None else own_past
        return _from_usual(cells, (past * self.weights[:, None]).sum(axis=0))

    def expected_with_spread(self, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Return the forecast of each cell, and how far normal cells are from it, each (n, c); wider for a short past.

        The spread is `BAND_ERRORS` usual errors, at a residual of which `residual` is `BAND_ERRORS`.
        """
        filled_share = np.maximum(_filled_share(cells, max(FORECAST_HALF_LIVES)), MIN_FILLED_SHARE)
        return self.expected(cells), BAND_ERRORS * self.error / filled_share[:, None]

    def residual(self, cells: Cells) -> np.ndarray:
        """Return the standardised error of the forecast, (n, c)."""
        return _standardised_residual(cells, self.expected(cells), self.error)

    def errors(self, cells: Cells, own_past: np.ndarray | None = None) -> np.ndarray:
        """Return the error of the forecast in usual errors, (n, c), however short the past; 0 for missing cells."""
        return _standardised_errors(cells, self.expected(cells, own_past), self.error)


def _from_usual(cells: Cells, expected: np.ndarray) -> np.ndarray:
    """Return expected cells (n, c) for the expected distances from what is usual at this time of the week."""
    return expected if cells.usual is None else cells.usual.z + expected


def _standardised_residual(cells: Cells, expected: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the error of a forecast (n, c) in units of its usual size (c,); 0 if the cell is missing.

    At the start of a run it is scaled down by the share of the longest average that the past fills.
    """
    return _standardised_errors(cells, expected, error) * _filled_share(cells, max(FORECAST_HALF_LIVES))[:, None]


def _standardised_errors(cells: Cells, expected: np.ndarray, error: np.ndarray) -> np.ndarray:
    return np.where(cells.is_missing, 0, (cells.z - expected) / error)


def _usual_error(residual: np.ndarray, runs: Sequence[Cells]) -> np.ndarray:
    """Return the standard deviation (c,) of the residuals of the cells that are not missing, plus a minimum."""
    is_present = ~np.concatenate([run.is_missing for run in runs])
    squares = np.where(is_present, np.square(residual), 0).sum(axis=0) / np.maximum(is_present.sum(axis=0), 1)
    return np.sqrt(squares) + MIN_ERROR


def _own_past(cells: Cells) -> np.ndarray:
    """Return the predictors of each cell (5, n, c): a constant, and lags and averages of its own channel."""
    z = cells.relative_kept
    parts = [
        *(lagged(z, rows, cells.line) for rows in FORECAST_LAGS),
        *(past_mean(z, half_life, cells.line) for half_life in FORECAST_HALF_LIVES),
    ]
    return np.stack([np.ones_like(z), *parts])


def _past(cells: Cells, own_past: np.ndarray | None = None) -> np.ndarray:
    """Return the predictors of each record (n, 1 + 4 c): a constant, and lags and averages of all channels."""
    return np.concatenate(
        [np.ones((len(cells.z), 1)), *(_own_past(cells) if own_past is None else own_past)[1:]], axis=1
    )


@dataclass(frozen=True)
class Signals:
    """The signals of one model.

    Attributes:
        continuous: positions of the s channels that level, departure and forecast are measured on.
        forecast: of all channels, for the score.
        own: of all channels, for the causes.
        levels: (m, 3 s) float32, training records to compare the level with.
        departures: (m, 3 s) float32, training records to compare the departure with.
        autoencoder: of the profile, if a network was trained.
        relation: of all channels; None if there are too many, and in older models.
        dispersion: of the continuous channels; None if there are too many, and in older models.
        total: of the profile; None if there are few channels, in models that weigh their signals, and in older ones.
    """

    continuous: np.ndarray
    forecast: Forecast
    own: OwnForecast
    levels: Neighbours
    departures: Neighbours
    autoencoder: TrainedNetwork | None = None
    relation: Relation | None = None
    total: Total | None = None
    dispersion: Dispersion | None = None

    @classmethod
    def fit(
        cls,
        runs: Sequence[Cells],
        continuous: np.ndarray,
        reference: int,
        varying: np.ndarray | None = None,
        *,
        has_total: bool = True,
    ) -> Self:
        """Fit the signals to runs of normal records.

        Args:
            runs: of the records.
            continuous: positions of the continuous channels.
            reference: largest number of records kept, an even subsample.
            varying: positions of the channels whose dispersion is measured; None or empty for none.
            has_total: whether the deviations of all channels are a signal.
        """
        cells = [(run.z[:, continuous], run.kept[:, continuous]) for run in runs]
        levels = np.concatenate([_level(run, continuous) for run in runs])
        departures = np.concatenate([departure(*pair) for pair in cells])
        total = None
        if has_total and runs[0].z.shape[1] > MAX_CHANNELS:
            seasons = np.concatenate([_season(run, continuous) for run in runs])
            parts = (subsample_rows(part, MAX_SCALE_RECORDS) for part in (levels, departures, seasons))
            total = Total.fit(_profile(*parts))
        own, dispersion = OwnForecast.fit(runs), None
        if varying is not None and len(varying):
            dispersion = Dispersion.fit(runs, [own.errors(run) for run in runs], varying)
        return cls(
            continuous,
            Forecast.fit(runs),
            own,
            Neighbours(subsample_rows(levels, reference)),
            Neighbours(subsample_rows(departures, reference)),
            relation=Relation.fit(runs, continuous),
            total=total,
            dispersion=dispersion,
        )

    def names(self, *, has_calendar: bool) -> tuple[str, ...]:
        """Return the names of the signals, in order."""
        return signal_names(
            has_relation=self.relation is not None,
            has_dispersion=self.dispersion is not None,
            has_calendar=has_calendar,
            has_network=self.autoencoder is not None,
            has_total=self.total is not None,
        )

    def alone(self, *, has_calendar: bool) -> np.ndarray | None:
        """Return whether each signal counts without a second one, (k,) bool; None if none does."""
        if self.dispersion is None:
            return None
        return np.isin(self.names(has_calendar=has_calendar), DISPERSION_SIGNALS)

    def measure(self, cells: Cells, first: int = 0) -> np.ndarray:
        """Return the signals of the records from `first` on, (n, k); low at the start of a series: it lacks a past."""
        return self.measure_with_vae(cells, first)[0]

    def measure_with_vae(self, cells: Cells, first: int = 0) -> tuple[np.ndarray, VaeScores | None]:
        """Return the signals of the records from `first` on, and the VAE scores of their profile with a network.

        The records before `first` are their past alone: searching their neighbours would take most of the time.
        """
        z, kept = cells.z[:, self.continuous], cells.kept[:, self.continuous]
        levels, departures = _level(cells, self.continuous)[first:], departure(z, kept, cells.line)[first:]
        distances = [
            self.levels.mean_distance(levels, NEIGHBOURS),
            self.departures.mean_distance(departures, NEIGHBOURS),
        ]
        filled_share = _filled_share(cells, VOLATILITY)[first:]
        counted = 1.0 if cells.is_off is None else np.where(cells.is_off[first:], 0.0, 1.0)  # off is a state of its own
        own_past = _own_past(cells)
        signals = [
            *(counted * filled_share * distance for distance in distances),
            counted * _sizes(self.forecast.residual(cells, own_past)[first:, self.continuous]),
            cells.breach[first:].max(axis=1),
            cells.stuck_signal[first:].max(axis=1),
        ]
        if self.relation is not None:
            signals.append(counted * filled_share * _sizes(self.relation.residual(cells)[first:]))
        if self.dispersion is not None:
            deviation = self.dispersion.deviation(cells, self.own.errors(cells, own_past))[first:]
            signals.append(counted * filled_share * np.abs(deviation).max(axis=1))
        if cells.usual is not None:
            signals.append(_sizes(cells.deviation[first:, cells.usual.is_used]))
        of_profile, vae = self._of_profile(levels, departures, _season(cells, self.continuous)[first:])
        return np.stack([*signals, *(counted * filled_share * of_profile)], axis=1), vae

    def _of_profile(
        self, levels: np.ndarray, departures: np.ndarray, season: np.ndarray
    ) -> tuple[np.ndarray, VaeScores | None]:
        """Return the signals that are added to the others, (j, n), and the VAE scores with a network."""
        profiles = _profile(levels, departures, season)
        totals = [] if self.total is None else [self.total(profiles)[None]]
        if self.autoencoder is None:
            return np.concatenate([*totals, np.zeros((0, len(profiles)))]), None
        of_network, vae = self.autoencoder.measure(profiles)
        return np.concatenate([*totals, of_network.T]), vae


def _sizes(deviations: np.ndarray) -> np.ndarray:
    """Return the sum (n,) of the absolute deviations (n, c) of each record, added from channel to channel.

    NumPy's own sum adds in another order if there is a single record.
    """
    return np.asarray(np.cumsum(np.abs(deviations), axis=1)[:, -1])


def _filled_share(cells: Cells, half_life: int) -> np.ndarray:
    """Return the share (n,) of an average of the past that the run's records so far fill."""
    return past_mean(np.ones(len(cells.z)), half_life, cells.line)
