"""Drift of series: channels by the deciles of their entity, and autocorrelated p-values.

Deciles of few records, or of records that wander, fit their own records better than new records. So the usual drift
also covers each fifth of the training records, counted by the deciles of the other records.

Scores are running means, so consecutive records have nearly the same p-value: the test divides their number by the
correlation time. Only a surplus of small p-values is drift. The signals that score were fitted to more records than
the signals that calibrated, and training records are their own neighbours in the reference; both lower scores
although nothing has drifted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from detector.core.bins import NumberBins
from detector.core.drift import Profile
from detector.series.deciles import Deciles
from detector.series.model import SHARED, SeriesModel
from detector.series.segments import Segment, take_rows
from detector.series.series import Series
from schemas.frames import Features

FOLDS = 5


@dataclass(frozen=True)
class ProfileInContext:
    """A profile of series, bound to records and their past; implements `detector.core.scorer.RecordProfile`.

    Attributes:
        profile: of channels by the deciles of their entity.
        model: assigns the deciles.
        features: the channels of the model.
        segments: the records with their past, each record in one segment.
    """

    profile: Profile
    model: SeriesModel
    features: Features
    segments: Sequence[Segment]

    def counts(self, records: pd.DataFrame, p_values: np.ndarray) -> dict[str, list[int]]:
        """Count n records in each bin, by feature and by p-value; records without a score are not counted."""
        deciles = np.full((len(records), self.model.width), np.nan)
        for segment in self.segments:
            deciles[segment.rows] = self.model.deciles(segment.entity, segment.series)[segment.own]
        is_scored = ~np.isnan(p_values)
        scored = pd.DataFrame(deciles[is_scored], columns=list(self.features.names))
        return self.profile.counts(scored, p_values[is_scored])


def fit_profile(
    model: SeriesModel,
    features: Features,
    p_values: Sequence[np.ndarray],
    series: Mapping[str, Series],
    window: int,
) -> Profile:
    """Return the profile of a series model.

    Args:
        model: the model.
        features: the channels of the model.
        p_values: of the calibration records, one array (m,) in order of time for each model of an entity.
        series: the training records of each entity.
        window: number of records that will be compared with the training records.
    """
    deciles = _in_order(((part.times, model.deciles(name, part)) for name, part in series.items()), features)
    profile = Profile.fit(deciles, dict.fromkeys(features.names, NumberBins), np.concatenate(p_values), window)
    watched = {name: model.watched(name, part) for name, part in series.items()}
    for fifth in _fifths(model, watched, features):
        profile = profile.widened(fifth, window)
    return profile.model_copy(update={"memory": correlation_time(p_values), "tail": "small"})


def correlation_time(runs: Sequence[np.ndarray]) -> float:
    """Return the number of consecutive values that hold as much information as one independent value; at least 1.

    One plus twice the sum of the autocorrelations, up to the first pair of neighbours with a negative sum: the
    initial positive sequence (Geyer, *Practical Markov Chain Monte Carlo*, 1992).

    >>> round(correlation_time([np.repeat(np.random.default_rng(0).random(5000), 8)]))
    8
    """
    mean, longest = np.concatenate(runs).mean(), max(map(len, runs))
    products = sum((_lagged_products(run - mean, longest) for run in runs), np.zeros(longest))
    if products[0] <= 0:  # all values are equal
        return 1.0
    pairs = products[: longest // 2 * 2].reshape(-1, 2).sum(axis=1) / products[0]
    is_end = np.append(pairs <= 0, True)
    return float(max(1.0, 2 * pairs[: int(np.argmax(is_end))].sum() - 1))


def _lagged_products(values: np.ndarray, lags: int) -> np.ndarray:
    """Return the sums (lags,) of the products of values that are 0, 1, 2, ... rows apart."""
    spectrum = np.fft.rfft(values, 2 * lags)
    return np.fft.irfft(np.abs(spectrum) ** 2, 2 * lags)[:lags]


def _fifths(model: SeriesModel, series: Mapping[str, Series], features: Features) -> Iterator[pd.DataFrame]:
    """Yield the deciles of each fifth of the records, by deciles fitted to the other records."""
    by_model: dict[str, dict[str, Series]] = defaultdict(dict)
    for name, records in series.items():
        by_model[name if model.has_own(name) else SHARED][name] = records
    folds = {name: fold for members in by_model.values() for name, fold in _folds(members).items()}
    for fold in range(FOLDS):
        yield _in_order((part for members in by_model.values() for part in _fold(members, folds, fold)), features)


def _folds(members: Mapping[str, Series]) -> dict[str, np.ndarray]:
    """Return the fold (n,) of each entity's records: the fifth, in order of time, of the records of all entities."""
    times = np.concatenate([part.times for part in members.values()])
    folds = np.empty(len(times), dtype=np.int64)
    folds[np.argsort(times, kind="stable")] = np.arange(len(times)) * FOLDS // len(times)
    ends = np.cumsum([len(part) for part in members.values()])
    return dict(zip(members, np.split(folds, ends[:-1]), strict=True))


def _fold(
    members: Mapping[str, Series], folds: Mapping[str, np.ndarray], fold: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield times and deciles of the records of each entity in one fold."""
    deciles = Deciles.fit([records.values[folds[name] != fold] for name, records in members.items()])
    for name, records in members.items():
        part = take_rows(records, folds[name] == fold)
        yield part.times, deciles.assign(name, part)


def _in_order(parts: Iterable[tuple[np.ndarray, np.ndarray]], features: Features) -> pd.DataFrame:
    """Return the deciles of records, sorted by time."""
    times, deciles = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return pd.DataFrame(deciles[np.argsort(times, kind="stable")], columns=list(features.names))
