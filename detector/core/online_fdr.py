"""Online control of the false discovery rate with decaying memory: levels of p-values that follow the discoveries.

A fixed level flags a fixed share of normal records, so most flagged records are normal if anomalies are rare. Here
each record has its own level: a base level, and a part that discoveries earn and that is spent soon after them. Then

    sum of decayed levels <= level x (1 + sum of decayed discoveries)

at any time: levels and discoveries that are n records old have the weight ``(1 - 1 / memory) ** n``. So on average at
most about a share `level` of the discoveries within the memory is false. This is LORD with decaying memory (Ramdas,
Yang, Wainwright & Jordan, *Online Control of the False Discovery Rate with Decaying Memory*, 2017) with the constant
base level by which rare anomalies are still found after a long pause (Rebjock, Kurt, Januschowski & Callot, *Online
False Discovery Rate Control for Anomaly Detection in Time Series*, 2021). Earned levels are spent geometrically, so the
state is one number. No level exceeds `limit`, so that normal records right after a long incident are not flagged more
than usual.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from detector.core.calibration import ROUNDING, Calibration, conformal_rank
from schemas.errors import LevelTooSmall

SPENDING_RECORDS = 30  # over which most of an earned level is spent: an incident earns and uses it


@dataclass(frozen=True)
class DiscoveryLevels:
    """The levels of a stream of p-values; a record whose p-value is at most its level is a discovery.

    Attributes:
        level: share of false discoveries that is accepted on average.
        memory: number of records within which discoveries count.
        limit: the largest level of a record.
        earned: the part of the next record's level that earlier discoveries have earned, in units of `level`.
    """

    level: float
    memory: int
    limit: float
    earned: float = 0.0

    @property
    def base(self) -> float:
        """The level of a record before any discovery."""
        return min(self.level / self.memory, self.limit)

    @property
    def shifts(self) -> int:
        """Number of levels of scores that became usual: always 0, as p-values alone move the levels."""
        return 0

    def check(self, calibration: Calibration) -> None:
        """Refuse a base level that calibration scores cannot resolve: nothing would ever be a discovery.

        Raises:
            LevelTooSmall: If there is no tail model, and no p-value can be as small as the base level.
        """
        m = len(calibration.scores)
        if calibration.tail is None and conformal_rank(self.base, m) < 1:
            raise LevelTooSmall(self.base, m, self.level)

    def advance(self, p_values: np.ndarray) -> tuple[np.ndarray, Self]:
        """Return the levels (n,) of the next records from their p-values, and the state after the last record.

        A stream may be cut anywhere: the returned state continues it.
        """
        levels, earned = np.empty(len(p_values)), self.earned
        kept, spent = 1 - 1 / self.memory, 1 / SPENDING_RECORDS
        for row, p_value in enumerate(p_values.tolist()):
            levels[row] = min(self.level * (1 / self.memory + earned), self.limit)
            earned = kept * ((1 - spent) * earned + spent * (p_value <= levels[row] * (1 + ROUNDING)))
        return levels, replace(self, earned=earned)

    def to_state(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return asdict(self)

    def continued(self, state: dict[str, Any]) -> Self:
        """Return these levels with what an earlier stream has earned, from a state that `to_state` wrote."""
        return replace(self, earned=float(state["earned"]))


def thresholds_at(calibration: Calibration, levels: np.ndarray, scores: np.ndarray, p_values: np.ndarray) -> np.ndarray:
    """Return the thresholds (n,) that scores exceed exactly if their p-values are at most their levels."""
    thresholds = calibration.thresholds(levels)
    below = np.minimum(thresholds, np.nextafter(scores, -np.inf))
    return np.where(p_values <= levels * (1 + ROUNDING), below, np.maximum(thresholds, scores))
