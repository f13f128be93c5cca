"""Measured: the signals of consecutive records, also in a past without faults, and the scores that follow from them."""

from dataclasses import dataclass

import numpy as np

from detector.core.vae_scores import VaeScores
from detector.series.fusion import Fusion
from detector.series.inputs import Inputs
from detector.series.line import Line
from detector.series.recovery import Recovery
from detector.series.series import Series
from detector.series.settings import ScoreName
from detector.series.signals import Signals

NOISE_ERROR = 1.0  # standard deviations, of the forecast of a channel that its past does not help to forecast


@dataclass(frozen=True)
class Measured:
    """The signals of consecutive records.

    Attributes:
        signals: (n, k) of each record with its past.
        vae: the VAE scores of the records; None without a network.
        recovered: (n, k), the signals with a past without faults; None if there are no faults, or they are remembered.
        has_recovered: (n,) bool, whether the records right before a record and itself are usual; None likewise.
    """

    signals: np.ndarray
    vae: VaeScores | None = None
    recovered: np.ndarray | None = None
    has_recovered: np.ndarray | None = None

    @classmethod
    def of(cls, run: Series, inputs: Inputs, signals: Signals, first: int = 0) -> "Measured":
        """Measure the records from `first` on; those before it are their past alone."""
        cells = inputs.cells(run)
        own, vae = signals.measure_with_vae(cells, first)
        recovery = Recovery.of(cells, inputs.channels, _can_recover(inputs, signals)) if inputs.recovers else None
        if recovery is None or not recovery.has_recovered[first:].any():
            return cls(own, vae)
        return cls(own, vae, signals.measure_with_vae(recovery.cells, first)[0], recovery.has_recovered[first:])

    def scores(self, name: ScoreName, fusion: Fusion, line: Line | None = None) -> np.ndarray:
        """Return the anomaly scores (n,) by name; those of recovered records are at most those without faults."""
        if name != "fused" and self.vae is not None:
            return np.asarray(getattr(self.vae, name))
        scores = fusion.scores(self.signals, line)
        if self.recovered is None or self.has_recovered is None:
            return scores
        return np.where(self.has_recovered, np.minimum(scores, fusion.scores(self.recovered, line)), scores)


def _can_recover(inputs: Inputs, signals: Signals) -> np.ndarray:
    """Return the channels (c,) of which a single cell shows whether it is usual: by the calendar, or as pure noise."""
    is_noise = (signals.own.error >= NOISE_ERROR) & (inputs.channels.is_flag == 0)
    return is_noise if inputs.calendar is None else is_noise | (inputs.calendar.is_used == 1)
