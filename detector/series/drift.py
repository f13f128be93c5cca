"""Drift of series: channels by the deciles of their entity, and p-values that resemble their neighbours.

Deciles of few records, or of records that wander, fit these better than any others. So each fifth of the training
records, counted by the deciles of the rest, is usual too.

Scores are running means, so neighbours have nearly the same p-value: the test counts them by their correlation time.
And only small p-values are a drift. The views that score have learned from more records than those that calibrated,
and training records find themselves among the reference; both make scores calmer where nothing has moved.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from detector.core.bins import NumberBins
from detector.core.drift import Profile
from detector.series.deciles import Deciles
from detector.series.model import SHARED, SeriesModel
from detector.series.segments import Segment, picked
from detector.series.series import Series
from schemas.frames import Features

if TYPE_CHECKING:
    from detector.series.scorer import SeriesScorer

FOLDS = 5


@dataclass(frozen=True)
class ProfileInContext:
    """A profile of series bound to some records, with the face of `detector.core.drift.Profile`.

    Attributes:
        profile: of channels by the deciles of their entity.
        model: knows these.
        features: its channels.
        segments: each of the records in one of them.
    """

    profile: Profile
    model: SeriesModel
    features: Features
    segments: Sequence[Segment]

    def counts(self, records: pd.DataFrame, p_values: np.ndarray) -> dict[str, list[int]]:
        """How many of n records lie in each bin, by feature and by p-value; one that was not scored lies in none."""
        places = np.full((len(records), self.model.width), np.nan)
        for segment in self.segments:
            places[segment.rows] = self.model.deciles(segment.entity, picked(segment.series, segment.own))
        is_scored = ~np.isnan(p_values)
        placed = pd.DataFrame(places[is_scored], columns=list(self.features.names))
        return self.profile.counts(placed, p_values[is_scored])


def fit_profile(scorer: "SeriesScorer", series: Mapping[str, Series], window: int) -> Profile:
    """The profile of a model of series.

    Args:
        scorer: of the model.
        series: the training records of each entity.
        window: how many records will be compared with them.
    """
    model, features, runs = scorer.model, scorer.artifact.features, scorer.calibration_p_values()
    placed = _in_order(((one.times, model.deciles(name, one)) for name, one in series.items()), features)
    profile = Profile.fit(placed, dict.fromkeys(features.names, NumberBins), np.concatenate(runs), window)
    for fifth in _fifths(model, series, features):
        profile = profile.widened(fifth, window)
    return profile.model_copy(update={"memory": correlation_time(runs), "tail": "small"})


def correlation_time(runs: Sequence[np.ndarray]) -> float:
    """How many values in a row say as much of their distribution as one of independent values; at least 1.

    One and twice the sum of the autocorrelations, as far as neighbouring ones are positive together: the initial
    positive sequence (Geyer, *Practical Markov Chain Monte Carlo*, 1992).

    >>> round(correlation_time([np.repeat(np.random.default_rng(0).random(5000), 8)]))
    8
    """
    mean, longest = np.concatenate(runs).mean(), max(map(len, runs))
    products = sum((_lagged_products(run - mean, longest) for run in runs), np.zeros(longest))
    if products[0] <= 0:  # all are equal
        return 1.0
    pairs = products[: longest // 2 * 2].reshape(-1, 2).sum(axis=1) / products[0]
    is_over = np.append(pairs <= 0, True)
    return float(max(1.0, 2 * pairs[: int(np.argmax(is_over))].sum() - 1))


def _lagged_products(values: np.ndarray, lags: int) -> np.ndarray:
    """(lags,) sums of the products of values that are 0, 1, 2, ... apart."""
    spectrum = np.fft.rfft(values, 2 * lags)
    return np.fft.irfft(np.abs(spectrum) ** 2, 2 * lags)[:lags]


def _fifths(model: SeriesModel, series: Mapping[str, Series], features: Features) -> Iterator[pd.DataFrame]:
    """The places of each fifth of the records by the deciles of the others."""
    of_model: dict[str, dict[str, Series]] = defaultdict(dict)
    for name, one in series.items():
        of_model[name if model.has_own(name) else SHARED][name] = one
    folds = {name: fold for members in of_model.values() for name, fold in _folds(members).items()}
    for fold in range(FOLDS):
        yield _in_order((part for members in of_model.values() for part in _fold(members, folds, fold)), features)


def _folds(members: Mapping[str, Series]) -> dict[str, np.ndarray]:
    """(n,) of each entity: which fifth of the records of all of them, in order of time, each is in."""
    times = np.concatenate([one.times for one in members.values()])
    folds = np.empty(len(times), dtype=np.int64)
    folds[np.argsort(times, kind="stable")] = np.arange(len(times)) * FOLDS // len(times)
    ends = np.cumsum([len(one) for one in members.values()])
    return dict(zip(members, np.split(folds, ends[:-1]), strict=True))


def _fold(
    members: Mapping[str, Series], folds: Mapping[str, np.ndarray], fold: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Times and places of one fifth of the records of each entity."""
    deciles = Deciles.fit([one.values[folds[name] != fold] for name, one in members.items()])
    for name, one in members.items():
        part = picked(one, folds[name] == fold)
        yield part.times, deciles.places(name, part)


def _in_order(parts: Iterable[tuple[np.ndarray, np.ndarray]], features: Features) -> pd.DataFrame:
    """The places of records with their times, in order of these."""
    times, places = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return pd.DataFrame(places[np.argsort(times, kind="stable")], columns=list(features.names))
