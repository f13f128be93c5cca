"""Measured: the signals of consecutive records, also in a past without faults, and the scores that follow from them."""

from dataclasses import dataclass, replace

import numpy as np

from detector.core.vae_scores import VaeScores
from detector.series.channels import Cells
from detector.series.fusion import Fusion
from detector.series.inputs import Inputs
from detector.series.line import Line
from detector.series.recovery import disjoint_rows, faulty_cells, left_out_cells, recovered_rows, without_faults
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
        measured = cls._recovering(cells, inputs, signals, first)
        level = LastingLevel.of(cells, inputs, signals)
        if level is None or not level.is_heard[first:].any():
            return measured
        settled = cls._recovering(level.cells, inputs, signals, first)
        return replace(measured, settled=Part(settled, level.is_heard[first:]))

    @classmethod
    def _recovering(cls, cells: Cells, inputs: Inputs, signals: Signals, first: int) -> "Measured":
        """Measure cells, also without faults, from `first` on."""
        measured = cls(*signals.measure_with_vae(cells, first))
        is_faulty = faulty_cells(cells, inputs.channels)
        is_left_out = left_out_cells(cells, inputs.channels, is_faulty, _can_recover(inputs, signals))
        is_left_out = is_left_out | disjoint_rows(cells, inputs.joint)[:, None]
        has_recovered = recovered_rows(is_faulty | is_left_out, cells.line)[first:]
        if not (is_left_out.any() and has_recovered.any()):
            return measured
        without = cls(signals.measure(without_faults(cells, is_left_out), first))
        return replace(measured, recovered=Part(without, has_recovered))

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
        excess = self._above_level(fusion, line)
        return scores if excess is None else np.where(excess > 0, scores + excess, scores)

    def share_above_level(self, fusion: Fusion, line: Line | None = None) -> np.ndarray:
        """Return the part (n,) of the fused score by which a record is high above the level of a fault that lasts."""
        excess = self._above_level(fusion, line)
        if excess is None:
            return np.zeros(len(self.signals))
        total = np.maximum(self.scores("fused", fusion, line), excess)
        return np.divide(excess, total, out=np.zeros_like(total), where=excess > 0)

    def _above_level(self, fusion: Fusion, line: Line | None) -> np.ndarray | None:
        """Return what is added to the score (n,) for being high above the level of a fault that lasts; None if none."""
        if self.settled is None:
            return None
        excess = np.maximum(self.settled.measured.scores("fused", fusion, line) - HIGH_SCORE, 0)
        return np.where(self.settled.counts, excess, 0.0)


@dataclass(frozen=True)
class Part:
    """Records measured in another way, and whether that counts for each of them, (n,) bool."""

    measured: Measured
    counts: np.ndarray


@dataclass(frozen=True)
class LastingLevel:
    """The level of a fault that lasts.

    Attributes:
        cells: less that level.
        is_heard: (n,) whether what is high above the level counts.
    """

    cells: Cells
    is_heard: np.ndarray

    @classmethod
    def of(cls, cells: Cells, inputs: Inputs, signals: Signals) -> "LastingLevel | None":
        """Return the level of the channels that have been faulty for long; None if there are none."""
        is_faulty = faulty_cells(cells, inputs.channels) & _can_recover(inputs, signals)
        is_heard = heard_rows(is_faulty, cells.line)
        return cls(from_recent_level(cells, is_faulty), is_heard) if is_heard.any() else None


def _can_recover(inputs: Inputs, signals: Signals) -> np.ndarray:
    """Return the channels (c,) of which a single cell shows whether it is usual: by the calendar, or as pure noise."""
    is_noise = (signals.own.error >= NOISE_ERROR) & (inputs.channels.is_flag == 0)
    return is_noise if inputs.calendar is None else is_noise | (inputs.calendar.is_used == 1)
