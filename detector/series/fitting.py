"""Normal records -> models: of each entity one that has not seen the last records, and one that has seen all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from detector.core.progress import Epoch
from detector.core.subsample import subsample_rows
from detector.series.channels import Channels
from detector.series.deciles import Deciles
from detector.series.entity_model import EntityModel
from detector.series.fusion import Fusion
from detector.series.numpy_network import Autoencoder, Scale
from detector.series.settings import SeriesSettings
from detector.series.signal_weights import view_weights
from detector.series.signals import Views, profile
from schemas.errors import NotEnoughRecords

HELD_BACK = 0.2  # last share of the training records: what the views say of them scales the fusion
MANY_RUNS = 5  # from here on whole runs are held back
FEWEST_RECORDS = 50
FOR_NETWORK = 8000  # most records that a network is trained on

Runs = Sequence[np.ndarray]  # of consecutive normal records, each (n, c)
Progress: TypeAlias = Callable[[Epoch], None] | None  # called after each epoch of networks


def fit_models(runs: Mapping[str, Runs], settings: SeriesSettings, progress: Progress = None) -> dict[str, EntityModel]:
    """A model for each name, by runs of normal records; their networks, where asked for, train together.

    Raises:
        NotEnoughRecords: where one has fewer than 50 records.
        ConfigError: where the training of networks diverges.
    """
    for one in runs.values():
        _check_enough(one)
    learned = (_Learned.of(part, settings) for one in runs.values() for part in (_earlier(one), one))
    # with networks all at once, else one by one
    parts = iter(_with_networks(list(learned), settings, progress)) if settings.network else learned
    triples = zip(runs.items(), parts, parts, strict=True)
    return {name: _calibrated(one, earlier, whole, settings) for (name, one), earlier, whole in triples}


def _check_enough(runs: Runs) -> None:
    found = sum(map(len, runs))
    if found < FEWEST_RECORDS:
        raise NotEnoughRecords(found, FEWEST_RECORDS, "to train a series model")


@dataclass(frozen=True)
class _Learned:
    """What some runs teach.

    Attributes:
        channels: what each was like.
        views: learned from the cells.
        profiles: (m, 5 s) of some of the records, for the network; none where there is to be none.
    """

    channels: Channels
    views: Views
    profiles: np.ndarray

    @classmethod
    def of(cls, runs: Runs, settings: SeriesSettings) -> "_Learned":
        channels = Channels.fit(runs)
        cells = [channels.cells(run) for run in runs]
        views = Views.fit(cells, channels.shaped, settings.reference)
        profiles = [profile(run.z[:, channels.shaped]) for run in cells] if settings.network else [np.zeros((0, 1))]
        return cls(channels, views, subsample_rows(np.concatenate(profiles), FOR_NETWORK))

    def say(self, run: np.ndarray) -> np.ndarray:
        """(n, v): what the views say of consecutive records (n, c)."""
        return self.views.scores(self.channels.cells(run))


def _with_networks(parts: Sequence[_Learned], settings: SeriesSettings, progress: Progress) -> list[_Learned]:
    from detector.series.keras_network import train

    scales = [Scale.fit(part.profiles) for part in parts]
    features = [scale(part.profiles) for part, scale in zip(parts, scales, strict=True)]
    weights = train(features, [len(part.channels.shaped) for part in parts], settings.seed, progress)
    return [
        replace(part, views=replace(part.views, autoencoder=Autoencoder.of(own, scale, kept)))
        for part, own, scale in zip(parts, weights, scales, strict=True)
        for kept in [subsample_rows(part.profiles, settings.reference)]
    ]


def _calibrated(runs: Runs, earlier: _Learned, whole: _Learned, settings: SeriesSettings) -> EntityModel:
    """The model of all records, its fusion scaled by what views learned from the earlier ones say of the last fifth.

    Each held-back record has the past it had.
    """
    later = [(run, start) for run, start in zip(runs, _starts(runs), strict=True) if start < len(run)]
    said = [earlier.say(run)[start:] for run, start in later]
    fusion = Fusion.fit(said, settings.smoothing)
    if settings.select == "auto":
        fusion = fusion.weighted(view_weights(later, earlier.say, earlier.channels.changeable, fusion, settings.seed))
    reference = np.concatenate([fusion.scores(run) for run in said])
    return EntityModel(whole.channels, whole.views, fusion, reference, Deciles.fit(runs))


def _earlier(runs: Runs) -> list[np.ndarray]:
    return [run[:start] for run, start in zip(runs, _starts(runs), strict=True) if start]


def _starts(runs: Runs) -> list[int]:
    """Where the held-back rows of each run start: of many runs the last fifth of them is held back whole."""
    if len(runs) >= MANY_RUNS:
        kept = round((1 - HELD_BACK) * len(runs))
        return [len(run) if position < kept else 0 for position, run in enumerate(runs)]
    return [int(np.ceil((1 - HELD_BACK) * len(run))) for run in runs]
