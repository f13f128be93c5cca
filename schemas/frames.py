"""Frames at the boundaries: names and types of the columns of records and scores.

Records come from a source with the columns of `Features` (and key, time, entity, label), each in the form of its type:

- number: float64 or an integer type, missing as NaN or NA; infinities allowed
- truth: bool or nullable boolean
- text: text, missing as NA
- time: datetime64 with a time zone (UTC), missing as NaT

Scores leave a scorer with the columns of `SCORE_COLUMNS`, one row per record, on the records' index.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Form = Literal["number", "truth", "text", "time"]
"""Form of the values of a column."""

ANOMALY_SCORE = "anomaly_score"  # float64, higher is more anomalous
P_VALUE = "p_value"  # float64 in (0, 1]
SEVERITY = (
    "severity"  # float64 in [0, 100], a fixed function of the p-value, extrapolated beyond all calibration scores
)
THRESHOLD = "threshold"  # float64, a record is an anomaly above it
IS_ANOMALY = "is_anomaly"  # bool
RECONSTRUCTION_ERROR = "reconstruction_error"  # float64, higher is more anomalous; NaN if the scorer left it out
ELBO = "elbo"  # float64, the negative ELBO in nats, higher is more anomalous; NaN if the scorer left it out
UNGROUPED_ENTITY = "all"  # the entity of all records of a monitor without an entity column
VAE_COLUMNS = (RECONSTRUCTION_ERROR, ELBO)
SCORE_COLUMNS = (ANOMALY_SCORE, P_VALUE, SEVERITY, THRESHOLD, IS_ANOMALY, *VAE_COLUMNS)


FORMS: dict[str, Form] = {"numeric": "number", "boolean": "truth", "categorical": "text", "timestamp": "time"}
"""By type of feature; a type that is not listed here cannot be read."""


SMALLEST_DIVISOR = 1e-200
"""A quotient by a smaller threshold may leave the range of a double."""


def threshold_ratio(score: float, threshold: float) -> float | None:
    """Return a score as a multiple of its threshold; None if the threshold is not positive and finite.

    >>> threshold_ratio(3.0, 1.5), threshold_ratio(3.0, -1.0), threshold_ratio(3.0, float("inf"))
    (2.0, None, None)
    """
    return score / threshold if 0 < threshold < math.inf else None


@dataclass(frozen=True)
class Features:
    """The watched columns of a table by type, in a fixed order."""

    numeric: tuple[str, ...] = ()
    boolean: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    timestamp: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All features: numeric, boolean, categorical, timestamp."""
        return tuple(name for names in self.by_type().values() for name in names)

    def by_type(self) -> dict[str, tuple[str, ...]]:
        """Return the features of each type, in the order of `names`."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    def holding(self, *forms: Form) -> tuple[str, ...]:
        """Return the features whose values have one of the forms, in the order of `names`."""
        return tuple(name for kind, names in self.by_type().items() if FORMS[kind] in forms for name in names)

    def missing_from(self, columns: Iterable[str]) -> list[str]:
        """Return the features that `columns` lacks."""
        have = set(columns)
        return [name for name in self.names if name not in have]


@dataclass(frozen=True)
class Cause:
    """The part of a record's anomaly score that is due to one feature.

    `share` is in units of the score; the shares of all features of a record sum to its score.
    `deviation` is the distance above (+) or below (-) the expected value, in typical deviations of that feature
    among normal records; for categories it is positive, the surprise.
    `is_return` is for series: the value is usual again, but an earlier fault affects the expected value.
    `evidence` is for series: how much the record and those before it speak for a fault in the feature, in squared
    deviations, by which causes of different records are compared; None for single records and older models.
    """

    feature: str
    share: float
    deviation: float
    value: Any
    expected: Any
    is_return: bool = False
    evidence: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the cause as the `attribution` column stores it."""
        cause = {
            "feature": self.feature,
            "share": self.share,
            "deviation": self.deviation,
            "value": self.value,
            "expected": self.expected,
        }
        optional = {"is_return": self.is_return or None, "evidence": self.evidence}
        return cause | {name: value for name, value in optional.items() if value is not None}


@dataclass(frozen=True)
class Explanation:
    """The causes of one record's score, largest share first."""

    causes: tuple[Cause, ...] = field(default_factory=tuple)

    @property
    def top_feature(self) -> str | None:
        """The feature with the largest share."""
        return self.causes[0].feature if self.causes else None
