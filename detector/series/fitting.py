"""Fitting of series models: each is fitted without the records that calibrate it, and to all records, to score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from detector.core.progress import Epoch
from detector.core.subsample import subsample_rows
from detector.series.deciles import Deciles
from detector.series.dispersion import varying_channels
from detector.series.entity_model import EntityModel
from detector.series.folds import Fold, folds_of, is_held_back_by_folds
from detector.series.fusion import Fusion
from detector.series.inputs import FittedInputs, Inputs, SplitRuns, fit_inputs
from detector.series.measured import Measured
from detector.series.numpy_network import Scale, TrainedNetwork
from detector.series.relation import Relation
from detector.series.segments import take_rows
from detector.series.series import Series
from detector.series.settings import MIN_RECORDS, SeriesSettings
from detector.series.signal_weights import TOTAL_FACTOR, fit_added_factors, fit_signal_weights
from detector.series.signals import NETWORK_SIGNALS, Signals, profile
from schemas.errors import NotEnoughRecords

HELD_BACK_SHARE = 0.2  # of the training records, at the end, whose signals scale the fusion
MIN_RUNS_TO_HOLD_BACK_WHOLE = 5  # with fewer runs, the end of each run is held back
MIN_SCALE_RECORDS = 500  # of all folds, that scale the signals; with fewer, a fold is too unlike the others
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
    fitted = (_FittedModel.fit(_split(runs_of_name, settings), settings) for runs_of_name in runs.values())
    # networks need all models at once; else one at a time saves memory
    models = iter(_with_networks(list(fitted), settings, progress)) if settings.network else fitted
    return {name: _calibrated(model, settings) for name, model in zip(runs, models, strict=True)}


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
    def fit(
        cls, runs: Runs, inputs: Inputs, settings: SeriesSettings, varying: np.ndarray, *, has_relation: bool
    ) -> "_FittedSignals":
        cells = [inputs.cells(run) for run in runs]
        continuous = inputs.channels.continuous
        signals = Signals.fit(cells, continuous, settings.reference, varying, has_total=settings.select == "all")
        if not has_relation:
            signals = replace(signals, relation=None)
        profiles = [profile(run, continuous) for run in cells] if settings.network else [np.zeros((0, 1))]
        return cls(inputs, signals, subsample_rows(np.concatenate(profiles), MAX_NETWORK_RECORDS))

    def with_network(self, network: TrainedNetwork) -> "_FittedSignals":
        """Return the signals with those of a network."""
        return replace(self, signals=replace(self.signals, autoencoder=network))

    def measure(self, run: Series, start: int = 0) -> np.ndarray:
        """Return the signals (n, k) of the records of a run from `start` on."""
        return self.signals.measure_with_vae(self.inputs.cells(run), start)[0]


@dataclass(frozen=True)
class _FittedModel:
    """The parts of a model before its calibration.

    Attributes:
        runs: of the model.
        inputs: fitted to the runs.
        earlier: signals of the earlier records.
        whole: signals of all records.
        varying: positions of the channels whose dispersion is measured.
        has_relation: whether there are enough records for the relation of channels, without each fold, too.
    """

    runs: SplitRuns
    inputs: FittedInputs
    earlier: _FittedSignals
    whole: _FittedSignals
    varying: np.ndarray
    has_relation: bool

    @classmethod
    def fit(cls, runs: SplitRuns, settings: SeriesSettings) -> "_FittedModel":
        inputs = fit_inputs(runs, settings)
        varying = varying_channels([inputs.whole.cells(run) for run in runs.whole], inputs.whole.channels.continuous)
        has_relation = Relation.has_enough([run.values for run in runs.whole])
        fit = partial(_FittedSignals.fit, settings=settings, varying=varying, has_relation=has_relation)
        parts = fit(runs.earlier, inputs.earlier), fit(runs.whole, inputs.whole)
        return cls(runs, inputs, *parts, varying, has_relation)


def _with_networks(models: Sequence[_FittedModel], settings: SeriesSettings, progress: Progress) -> list[_FittedModel]:
    """Return the models with networks trained on their earlier records.

    One training serves both parts, so that the held-back records measure the network that scores; only if the later
    records have other continuous channels, a network is trained on all records as well.
    """
    from detector.series.keras_network import train

    parts = [part for model in models for part in (model.earlier, model.whole)]
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
    trained_parts = (part.with_network(network) for part, network in zip(parts, networks, strict=True))
    pairs = zip(trained_parts, trained_parts, strict=True)
    return [replace(model, earlier=earlier, whole=whole) for model, (earlier, whole) in zip(models, pairs, strict=True)]


def _source(parts: Sequence[_FittedSignals], position: int) -> int:
    """Return the position of the part on whose records the network of a part is trained."""
    earlier = position - position % 2
    is_same = np.array_equal(parts[earlier].signals.continuous, parts[position].signals.continuous)
    return earlier if is_same else position


def _calibrated(model: _FittedModel, settings: SeriesSettings) -> EntityModel:
    """Return the model of all records, with a fusion and a reference by the held-back records.

    Each held-back record is measured with the past that it had, by signals that were fitted without it.
    """
    held_back = model.runs.last.held_back
    last = [
        Measured.of(run, model.inputs.earlier, model.earlier.signals, start, settings.score) for run, start in held_back
    ]
    folds = [_measured_fold(model, fold, settings) for fold in model.runs.folds] if len(model.runs.folds) > 1 else []
    alone = model.whole.signals.alone(has_calendar=model.inputs.choice is not None)
    fusion = replace(_scaled(last, folds, settings), alone=alone)
    tried = (held_back, model.earlier.measure, model.inputs.earlier.event_deviations, fusion, settings.seed)
    if settings.select == "auto":
        fusion = fusion.weighted(fit_signal_weights(*tried))
    else:
        total = [] if model.earlier.signals.total is None else [TOTAL_FACTOR]
        added = fit_added_factors(*tried, total) if settings.network else np.array(total)
        fusion = fusion.adding(added) if len(added) else fusion
    if folds:
        reference = _scores_of_folds(folds, fusion, settings)
    else:
        reference = np.concatenate([run.scores(settings.score, fusion) for run in last])
    whole = model.whole
    deciles = Deciles.fit([whole.inputs.values(run) for run in model.runs.whole])
    recent_causes = settings.recent_causes
    return EntityModel(whole.inputs, whole.signals, fusion, reference, deciles, settings.score, recent_causes)


def _scaled(last: Sequence[Measured], folds: Sequence[Sequence[Measured]], settings: SeriesSettings) -> Fusion:
    """Return the fusion scaled on all folds, or on the last records if those alone are held back or records are few.

    Signals of a network, which has seen all folds but the last, are scaled on the last records.
    """
    of_last = Fusion.fit([run.signals for run in last], settings.smoothing)
    if sum(len(run.signals) for fold in folds for run in fold) < MIN_SCALE_RECORDS:
        return of_last
    of_all = Fusion.fit([run.signals for fold in folds for run in fold], settings.smoothing, bounds_tail=True)
    return of_all.with_last(of_last, _network_signals(settings))


def _scores_of_folds(folds: Sequence[Sequence[Measured]], fusion: Fusion, settings: SeriesSettings) -> np.ndarray:
    """Return the scores (m,) of the records of all folds.

    A network has seen all folds but the last, so in the others its signals are measured in the scale that they have
    there.
    """
    seen = [run for fold in folds[:-1] for run in fold]
    scale = Fusion.fit([run.signals for run in seen], settings.smoothing)
    of_seen = fusion.with_last(scale, _network_signals(settings))
    scores = [run.scores("fused", of_seen) for run in seen]
    return np.concatenate([*scores, *(run.scores("fused", fusion) for run in folds[-1])])


def _network_signals(settings: SeriesSettings) -> int:
    return len(NETWORK_SIGNALS) if settings.network else 0


def _measured_fold(model: _FittedModel, fold: Fold, settings: SeriesSettings) -> list[Measured]:
    """Return the records of a fold, measured by signals that were fitted to the other records."""
    inputs = model.inputs.of(fold.others)
    without = replace(settings, network=False)
    part = _FittedSignals.fit(fold.others, inputs, without, model.varying, has_relation=model.has_relation)
    signals = replace(part.signals, autoencoder=model.whole.signals.autoencoder)
    return [Measured.of(run, inputs, signals, start) for run, start in fold.held_back]


def _split(runs: Runs, settings: SeriesSettings) -> SplitRuns:
    """Return the runs with what is held back: each fold of a short history, else the last records.

    The scores of a network are calibrated on the last records, which it has not seen.
    """
    last = _last_records(runs)
    by_folds = settings.score == "fused" and is_held_back_by_folds(runs)
    return SplitRuns(runs, last, list(folds_of(runs)) if by_folds else [last])


def _last_records(runs: Runs) -> Fold:
    """Return the last records of the runs as the fold that is held back."""
    pairs = list(zip(runs, _starts(runs), strict=True))
    earlier = [take_rows(run, slice(0, start)) for run, start in pairs if start]
    return Fold(earlier, [(run, start) for run, start in pairs if start < len(run)])


def _starts(runs: Runs) -> list[int]:
    """Return the first held-back row of each run; of many runs the last fifth is held back whole."""
    if len(runs) >= MIN_RUNS_TO_HOLD_BACK_WHOLE:
        kept = round((1 - HELD_BACK_SHARE) * len(runs))
        return [len(run) if position < kept else 0 for position, run in enumerate(runs)]
    return [int(np.ceil((1 - HELD_BACK_SHARE) * len(run))) for run in runs]
