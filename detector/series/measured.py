"""Measured: the signals of consecutive records, also in a past without faults, and the scores that follow from them."""

from dataclasses import dataclass, replace

import numpy as np

from detector.core.vae_scores import VaeScores
from detector.series.channels import Cells
from detector.series.fusion import Fusion
from detector.series.inputs import Inputs
from detector.series.line import Line
from detector.series.recovery import faulty_cells, recovered_rows, without_faults
from detector.series.series import Series
from detector.series.settings import ScoreName
from detector.series.settling import from_recent_level, heard_rows
from detector.series.signals import Signals

HIGH_SCORE = 1.0  # about the threshold of a rate of 1 %
NOISE_ERROR = 1.0  # standard deviations, of the forecast of a channel that its past does not help to forecast


@dataclass(frozen=True)
class Measured:
    """The signals of consecutive records.

    Attributes:
        signals: (n, k) of each record with its past.
        vae: the VAE scores of the records; None without a network.
        recovered: with a past without faults, of records that are usual again; None if there are none.
        settled: measured from the level of a fault that lasts; None if none does.
    """

    signals: np.ndarray
    vae: VaeScores | None = None
    recovered: "Part | None" = None
    settled: "Part | None" = None

    @classmethod
    def of(
        cls, run: Series, inputs: Inputs, signals: Signals, first: int = 0, score: ScoreName = "fused"
    ) -> "Measured":
        """Measure what a score needs of the records from `first` on; those before it are their past alone."""
        cells = inputs.cells(run)
        is_of_network = score != "fused" and signals.autoencoder is not None
        if is_of_network or not inputs.recovers:
            return cls(*signals.measure_with_vae(cells, first))
        can_recover = _can_recover(inputs, signals)
        measured, is_faulty = cls._recovering(cells, inputs, signals, first)
        is_heard = heard_rows(is_faulty & can_recover, cells.line)[first:]
        if not is_heard.any():
            return measured
        settled, _ = cls._recovering(from_recent_level(cells, is_faulty & can_recover), inputs, signals, first)
        return replace(measured, settled=Part(settled, is_heard))

    @classmethod
    def _recovering(cls, cells: Cells, inputs: Inputs, signals: Signals, first: int) -> tuple["Measured", np.ndarray]:
        """Measure cells, also without faults, from `first` on, and return whether each cell (n, c) is faulty."""
        measured = cls(*signals.measure_with_vae(cells, first))
        is_faulty = faulty_cells(cells, inputs.channels)
        is_replaced = is_faulty & _can_recover(inputs, signals)
        has_recovered = recovered_rows(is_faulty, cells.line)[first:]
        if not (is_replaced.any() and has_recovered.any()):
            return measured, is_faulty
        without = cls(signals.measure(without_faults(cells, is_replaced), first))
        return replace(measured, recovered=Part(without, has_recovered)), is_faulty

    def scores(self, name: ScoreName, fusion: Fusion, line: Line | None = None) -> np.ndarray:
        """Return the anomaly scores (n,) by name.

        The score of a record that has recovered is at most its score without the fault before it. A record of a fault
        that lasts is higher if it is high above the level of that fault, too.
        """
        if name != "fused" and self.vae is not None:
            return np.asarray(getattr(self.vae, name))
        scores = fusion.scores(self.signals, line)
        if self.recovered is not None:
            without = self.recovered.measured.scores("fused", fusion, line)
            scores = np.where(self.recovered.counts, np.minimum(scores, without), scores)
        if self.settled is not None:
            excess = np.maximum(self.settled.measured.scores("fused", fusion, line) - HIGH_SCORE, 0)
            scores = np.where(self.settled.counts, scores + excess, scores)
        return scores


@dataclass(frozen=True)
class Part:
    """Records measured in another way, and whether that counts for each of them, (n,) bool."""

    measured: Measured
    counts: np.ndarray


def _can_recover(inputs: Inputs, signals: Signals) -> np.ndarray:
    """Return the channels (c,) of which a single cell shows whether it is usual: by the calendar, or as pure noise."""
    is_noise = (signals.own.error >= NOISE_ERROR) & (inputs.channels.is_flag == 0)
    return is_noise if inputs.calendar is None else is_noise | (inputs.calendar.is_used == 1)
