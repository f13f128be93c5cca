"""EntityModel: channels, signals and their fusion, for one entity or for several entities that share the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from detector.core.neighbours import Neighbours
from detector.core.normal_band import BAND_ERRORS
from detector.core.vae_scores import Scored
from detector.series.calendar import Calendar
from detector.series.channels import Cells, Channels
from detector.series.counters import Counters
from detector.series.deciles import Deciles
from detector.series.dispersion import Dispersion
from detector.series.evidence import MAX_RELATION, broken_relation, evidence
from detector.series.fusion import Fusion
from detector.series.inputs import Inputs
from detector.series.joint_range import JointRange
from detector.series.line import row_before
from detector.series.measured import LastingLevel, Measured
from detector.series.numpy_network import TrainedNetwork
from detector.series.relation import Relation
from detector.series.series import Series
from detector.series.settings import ScoreName, SeriesSettings
from detector.series.signals import Forecast, OwnForecast, Signals
from detector.series.states import OffState
from detector.series.total import Total


@dataclass(frozen=True)
class Causes:
    """The causes of the scores of records, all (n, c).

    Attributes:
        share: part of a record's deviation that is due to a channel; sums to 1, or to 0 if nothing deviates.
        deviation: distance of the cell from its usual value in standard deviations, signed.
        expected: from which it deviates most, in the channel's units: the forecast from its past, its usual value, or
            what the other channels explain.
        is_return: whether the value is back in the range of training while the forecast, from an unusual past, is not.
        evidence: by which causes of different records are compared; None in older models, in which shares are.
    """

    share: np.ndarray
    deviation: np.ndarray
    expected: np.ndarray
    is_return: np.ndarray
    evidence: np.ndarray | None = None

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the causes of all parts of one model, of which there is at least one."""
        names = [name for name, array in vars(parts[0]).items() if array is not None]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def at(self, rows: np.ndarray) -> Self:
        """Return the causes of the records at some positions."""
        return type(self)(**{name: array[rows] for name, array in vars(self).items() if array is not None})


@dataclass(frozen=True)
class EntityModel:
    """The model of one entity, or of several entities together.

    Attributes:
        inputs: convert records to cells.
        signals: fitted to all records.
        fusion: scaled on the held-back records, by signals fitted without them.
        reference: (m,) scores of the held-back records.
        deciles: of all training records.
        score: name of the anomaly score.
        recent_causes: whether the records before a record count for its causes; they do not in older models.
    """

    inputs: Inputs
    signals: Signals
    fusion: Fusion
    reference: np.ndarray
    deciles: Deciles
    score: ScoreName = "fused"
    recent_causes: bool = False

    @property
    def channels(self) -> Channels:
        """The statistics of the channels in training."""
        return self.inputs.channels

    @property
    def signal_names(self) -> tuple[str, ...]:
        """The names of the signals, in order."""
        return self.signals.names(has_calendar=self.inputs.calendar is not None)

    def scored(self, run: Series, first: int = 0) -> Scored:
        """Return the anomaly and the VAE scores of consecutive records from `first` on; earlier ones are their past."""
        since = row_before(first, self.fusion.context_rows, run.line)
        measured = Measured.of(run, self.inputs, self.signals, since, self.score)
        line = None if run.line is None else run.line.at(slice(since, None))
        return Scored(measured.scores(self.score, self.fusion, line), measured.vae).at(slice(first - since, None))

    def causes(self, run: Series) -> Causes:
        """Return the causes of consecutive records.

        A channel's share of a score is its part of the `evidence`. Other channels enter it by the relation alone: a
        faulty channel would spread its error over them. Above the level of a fault that lasts, the evidence is measured
        from it, for the part of the score that is added there.

        A cell's deviation is the Euclidean norm of three deviations: from the channel's mean (or its usual value at
        this time of the week), from the forecast of its own past, and by a broken rule. Of the channel that breaks the
        relation most, if by more than that, it is the deviation from what the other channels expect.
        """
        cells = self.inputs.cells(run)
        by_past = self.signals.own.expected(cells)
        is_return = ~self.channels.is_usual(by_past) & self.channels.is_usual(cells.z) & ~cells.is_missing
        deviation, expected = self._deviation(cells, by_past)
        readings = self.inputs.readings(run, self.channels.values(expected))
        parts, total = self._evidence(cells)
        share = self._with_level(parts, run, cells)
        return Causes(share, deviation, readings, is_return, share * total if self.recent_causes else None)

    def _evidence(self, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Return the part (n, c) of each channel in the evidence of its record, or 0 without any, and its sum (n, 1).

        In older models the evidence is the squared deviation of each record alone.
        """
        if self.recent_causes:
            squares = evidence(cells, self.signals, self._is_measured, min(self.fusion.smoothing))
            total = np.cumsum(squares, axis=1)[:, -1:]  # the bits are fixed
        else:
            squares = self._squares(cells)
            total = squares.sum(axis=1, keepdims=True)
        return np.divide(squares, total, out=np.zeros_like(squares), where=total > 0), total

    def _deviation(self, cells: Cells, by_past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the signed deviation of each cell and what is expected of it, (n, c), both by the largest part."""
        residual, deviation = self.signals.own.residual(cells), np.sqrt(self._squares(cells))
        if not self.recent_causes:
            return np.where(residual < 0, -1, 1) * deviation + 0.0, by_past  # no negative zero, which JSON may lose
        is_far = self._is_measured & (np.abs(cells.deviation) > np.abs(residual))
        usual = np.where(is_far, 0.0 if cells.usual is None else cells.usual.z, by_past)
        signed = np.where(np.where(is_far, cells.deviation, residual) < 0, -1, 1) * deviation + 0.0
        return self._by_others(cells, signed, usual)

    def _by_others(self, cells: Cells, deviation: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return deviations and expected cells, with those of the channel that breaks the relation by the others."""
        relation = self.signals.relation
        if relation is None:
            return deviation, expected
        by_others, broken = relation.expected(cells), broken_relation(cells, self.signals)
        is_first = broken == broken.max(axis=1, keepdims=True)
        is_by_others = is_first & (np.minimum(broken, MAX_RELATION) > np.abs(deviation)) & (relation.is_used == 1)
        deviation = np.where(is_by_others, np.where(cells.z < by_others, -broken, broken), deviation)
        return deviation, np.where(is_by_others, by_others, expected)

    def _squares(self, cells: Cells) -> np.ndarray:
        distances = np.square(cells.deviation) + np.square(self.signals.own.residual(cells))
        return np.where(self._is_measured, distances, 0.0) + np.square(cells.rule_violation)

    @property
    def _is_measured(self) -> np.ndarray:
        """Whether distances of each channel (c,) enter scores: a state's do by its rules and by the calendar alone."""
        is_continuous = np.isin(np.arange(len(self.channels.mean)), self.signals.continuous)
        calendar = self.inputs.calendar
        return is_continuous if calendar is None else is_continuous | (calendar.is_used == 1)

    def _with_level(self, share: np.ndarray, run: Series, cells: Cells) -> np.ndarray:
        """Return the shares (n, c), with those above the level of a fault that lasts for that part of the score."""
        level = LastingLevel.of(cells, self.inputs, self.signals) if self.inputs.recovers else None
        if level is None or self.score != "fused":
            return share
        measured = Measured.of(run, self.inputs, self.signals)
        above = measured.share_above_level(self.fusion, run.line)[:, None]
        return np.where(above > 0, (1 - above) * share + above * self._evidence(level.cells)[0], share)

    def normal_band(self, run: Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return expected values, and the lower and the upper end of their normal band, for consecutive records.

        A value is expected by the channel's own past, within the range of training: so a channel that drifts out of
        this range leaves its band, though its own past has drifted along.
        """
        channels = self.channels
        lowest, highest = channels.cells(np.stack([channels.lowest, channels.highest])).z
        z, spread = self.signals.own.expected_with_spread(self.inputs.cells(run))
        expected = channels.values(np.clip(z, lowest, highest))
        spread = spread * channels.deviation
        usual_spread = BAND_ERRORS * self.signals.own.error * channels.deviation
        low = np.maximum(expected - spread, channels.lowest - usual_spread)
        high = np.minimum(expected + spread, channels.highest + usual_spread)
        ends = (expected, np.minimum(low, expected), np.maximum(high, expected))
        expected, low, high = (self.inputs.readings(run, end) for end in ends)
        return expected, low, high

    def to_state(self) -> dict[str, np.ndarray]:
        """Return every array of the model by name."""
        signals = self.signals
        return {
            **_with_prefix("channels/", self.channels.to_state()),
            **_with_prefix("calendar/", self.inputs.calendar.to_state() if self.inputs.calendar else {}),
            **_with_prefix("counters/", self.inputs.counters.to_state() if self.inputs.counters else {}),
            **_with_prefix("off/", vars(self.inputs.off) if self.inputs.off else {}),
            **_with_prefix("joint/", vars(self.inputs.joint) if self.inputs.joint else {}),
            "forecast/weights": signals.forecast.weights,
            "forecast/error": signals.forecast.error,
            "own/weights": signals.own.weights,
            "own/error": signals.own.error,
            "views/levels": signals.levels.points,  # stored names stay: "views" is an older word for signals
            "views/departures": signals.departures.points,
            **_with_prefix("relation/", vars(signals.relation) if signals.relation else {}),
            **_with_prefix("total/", vars(signals.total) if signals.total else {}),
            **_with_prefix("dispersion/", vars(signals.dispersion) if signals.dispersion else {}),
            **_with_prefix("network/", signals.autoencoder.to_state() if signals.autoencoder else {}),
            **{f"fusion/{name}": array for name, array in self.fusion.to_state().items()},
            "reference": self.reference,
            "deciles": self.deciles.edges,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], settings: SeriesSettings) -> Self:
        """Return the model of a state that `to_state` wrote."""
        channels = Channels.from_state(_without_prefix("channels/", state))
        signals = Signals(
            channels.continuous,
            Forecast(**_without_prefix("forecast/", state)),
            OwnForecast(**_without_prefix("own/", state)),
            Neighbours(state["views/levels"]),
            Neighbours(state["views/departures"]),
            TrainedNetwork.from_state(network) if (network := _without_prefix("network/", state)) else None,
            Relation(**relation) if (relation := _without_prefix("relation/", state)) else None,
            Total(**total) if (total := _without_prefix("total/", state)) else None,
            Dispersion(**dispersion) if (dispersion := _without_prefix("dispersion/", state)) else None,
        )
        calendar, counters = _without_prefix("calendar/", state), _without_prefix("counters/", state)
        inputs = Inputs(
            channels,
            Calendar.from_state(calendar, settings.time_zone, settings.holidays) if calendar else None,
            Counters.from_state(counters) if counters else None,
            OffState(**off) if (off := _without_prefix("off/", state)) else None,
            recovers=settings.recovery,
            joint=JointRange(**joint) if (joint := _without_prefix("joint/", state)) else None,
        )
        alone = signals.alone(has_calendar=inputs.calendar is not None)
        fusion = Fusion(settings.smoothing, **_without_prefix("fusion/", state), alone=alone)
        deciles = Deciles(state["deciles"])
        return cls(inputs, signals, fusion, state["reference"], deciles, settings.score, settings.recent_causes)


def _with_prefix(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def _without_prefix(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
