"""Fitting of series models: each is fitted without the last records, to calibrate, and to all records, to score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from detector.core.progress import Epoch
from detector.core.subsample import subsample_rows
from detector.series.deciles import Deciles
from detector.series.entity_model import EntityModel
from detector.series.fusion import Fusion
from detector.series.inputs import Inputs, SplitRuns, fit_inputs
from detector.series.measured import Measured
from detector.series.numpy_network import Scale, TrainedNetwork
from detector.series.segments import take_rows
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from detector.series.signal_weights import fit_network_factors, fit_signal_weights
from detector.series.signals import Signals, profile
from schemas.errors import NotEnoughRecords

HELD_BACK_SHARE = 0.2  # of the training records, at the end, whose signals scale the fusion
MIN_RUNS_TO_HOLD_BACK_WHOLE = 5  # with fewer runs, the end of each run is held back
MIN_RECORDS = 50
MAX_NETWORK_RECORDS = 8000  # that a network is trained on

Runs = Sequence[Series]  # of consecutive normal records
Progress: TypeAlias = Callable[[Epoch], None] | None  # called after each epoch of networks


def fit_models(runs: Mapping[str, Runs], settings: SeriesSettings, progress: Progress = None) -> dict[str, EntityModel]:
    """Fit a model for each name to its runs of normal records; all networks are trained together.

    Raises:
        NotEnoughRecords: If a name has fewer than 50 records.
        ConfigError: If the training of the networks diverges.
    """
    for runs_of_name in runs.values():
        _check_enough(runs_of_name)
    fitted = (
        _FittedSignals.fit(part, inputs, settings)
        for runs_of_name in runs.values()
        for part, inputs in _with_inputs(_split(runs_of_name), settings)
    )
    # networks need all parts at once; else one at a time saves memory
    parts = iter(_with_networks(list(fitted), settings, progress)) if settings.network else fitted
    triples = zip(runs.items(), parts, parts, strict=True)
    return {name: _calibrated(own, earlier, whole, settings) for (name, own), earlier, whole in triples}


def _with_inputs(runs: SplitRuns, settings: SeriesSettings) -> list[tuple[Runs, Inputs]]:
    return list(zip((runs.earlier, runs.whole), fit_inputs(runs, settings), strict=True))


def _check_enough(runs: Runs) -> None:
    records = sum(map(len, runs))
    if records < MIN_RECORDS:
        raise NotEnoughRecords(records, MIN_RECORDS, "to train a series model")


@dataclass(frozen=True)
class _FittedSignals:
    """Inputs and signals fitted to runs.

    Attributes:
        inputs: of the runs.
        signals: fitted to the cells.
        profiles: (m, d) of a subsample of the records, for the network; empty if no network is trained.
    """

    inputs: Inputs
    signals: Signals
    profiles: np.ndarray

    @classmethod
    def fit(cls, runs: Runs, inputs: Inputs, settings: SeriesSettings) -> "_FittedSignals":
        cells = [inputs.cells(run) for run in runs]
        continuous = inputs.channels.continuous
        signals = Signals.fit(cells, continuous, settings.reference)
        profiles = [profile(run, continuous) for run in cells] if settings.network else [np.zeros((0, 1))]
        return cls(inputs, signals, subsample_rows(np.concatenate(profiles), MAX_NETWORK_RECORDS))

    def measure(self, run: Series, start: int = 0) -> np.ndarray:
        """Return the signals (n, k) of the records of a run from `start` on."""
        return self.signals.measure_with_vae(self.inputs.cells(run), start)[0]


def _with_networks(
    parts: Sequence[_FittedSignals], settings: SeriesSettings, progress: Progress
) -> list[_FittedSignals]:
    """Return parts, each of earlier records and then of all, with networks trained on the earlier records.

    One training serves both, so that the held-back records measure the network that scores; only if the later records
    have other continuous channels, a network is trained on all records as well.
    """
    from detector.series.keras_network import train

    sources = [_source(parts, position) for position in range(len(parts))]
    trained = {source: parts[source] for source in sources}
    scales = {source: Scale.fit(part.profiles) for source, part in trained.items()}
    features = [scales[source](part.profiles) for source, part in trained.items()]
    widths = [len(part.signals.continuous) for part in trained.values()]
    weights = dict(zip(trained, train(features, widths, settings.seed, progress), strict=True))
    networks = [
        TrainedNetwork.of(weights[source], scales[source], subsample_rows(part.profiles, settings.reference))
        for source, part in zip(sources, parts, strict=True)
    ]
    return [
        replace(part, signals=replace(part.signals, autoencoder=network))
        for part, network in zip(parts, networks, strict=True)
    ]


def _source(parts: Sequence[_FittedSignals], position: int) -> int:
    """Return the position of the part on whose records the network of a part is trained."""
    earlier = position - position % 2
    is_same = np.array_equal(parts[earlier].signals.continuous, parts[position].signals.continuous)
    return earlier if is_same else position


def _calibrated(runs: Runs, earlier: _FittedSignals, whole: _FittedSignals, settings: SeriesSettings) -> EntityModel:
    """Return the model of all records; signals fitted to the earlier records scale its fusion on the last fifth.

    Each held-back record is measured with the past that it had.
    """
    held_back = [(run, start) for run, start in zip(runs, _starts(runs), strict=True) if start < len(run)]
    measured = [Measured.of(run, earlier.inputs, earlier.signals, start, settings.score) for run, start in held_back]
    fusion = Fusion.fit([run.signals for run in measured], settings.smoothing)
    tried = (held_back, earlier.measure, earlier.inputs.event_deviations, fusion, settings.seed)
    if settings.select == "auto":
        fusion = fusion.weighted(fit_signal_weights(*tried))
    elif settings.network:
        fusion = fusion.adding(fit_network_factors(*tried))
    reference = np.concatenate([run.scores(settings.score, fusion) for run in measured])
    deciles = Deciles.fit([whole.inputs.values(run) for run in runs])
    return EntityModel(whole.inputs, whole.signals, fusion, reference, deciles, settings.score)


def _split(runs: Runs) -> SplitRuns:
    """Return the runs split into earlier and held-back records."""
    starts = _starts(runs)
    earlier = [take_rows(run, slice(0, start)) for run, start in zip(runs, starts, strict=True) if start]
    later = [take_rows(run, slice(start, None)) for run, start in zip(runs, starts, strict=True)]
    return SplitRuns(runs, earlier, later)


def _starts(runs: Runs) -> list[int]:
    """Return the first held-back row of each run; of many runs the last fifth is held back whole."""
    if len(runs) >= MIN_RUNS_TO_HOLD_BACK_WHOLE:
        kept = round((1 - HELD_BACK_SHARE) * len(runs))
        return [len(run) if position < kept else 0 for position, run in enumerate(runs)]
    return [int(np.ceil((1 - HELD_BACK_SHARE) * len(run))) for run in runs]
