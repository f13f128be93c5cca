"""What crosses a boundary as a frame: names and types of the columns of records and scores.

Records come from a source with the columns of `Features` (and key, time, entity, label), each in the form of its type:

- number: float64 or an integer type, missing as NaN or NA; infinities allowed
- truth: bool or nullable boolean
- text: text, missing as NA
- time: datetime64 with a time zone (UTC), missing as NaT

Scores leave a scorer with the columns of `SCORE_COLUMNS`, one row per record, on the records' index.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Form = Literal["number", "truth", "text", "time"]
"""Form of the values of a column."""

ANOMALY_SCORE = "anomaly_score"  # float64, higher is more anomalous
P_VALUE = "p_value"  # float64 in (0, 1]
SEVERITY = "severity"  # float64 in [0, 100], a fixed function of the p-value
THRESHOLD = "threshold"  # float64, a record is an anomaly above it
IS_ANOMALY = "is_anomaly"  # bool
SCORE_COLUMNS = (ANOMALY_SCORE, P_VALUE, SEVERITY, THRESHOLD, IS_ANOMALY)


FORMS: dict[str, Form] = {"numeric": "number", "boolean": "truth", "categorical": "text", "timestamp": "time"}
"""By type of feature; a type that is not listed here cannot be read."""


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
        """Return the features whose values have one of these forms, in the order of `names`."""
        return tuple(name for kind, names in self.by_type().items() if FORMS[kind] in forms for name in names)

    def missing_from(self, columns: Iterable[str]) -> list[str]:
        """The features that `columns` lacks."""
        have = set(columns)
        return [name for name in self.names if name not in have]


@dataclass(frozen=True)
class Cause:
    """The part of a record's anomaly score that is due to one feature.

    `share` is in units of the score; the shares of all features of a record sum to its score.
    `deviation` is signed: how far the value lies above (+) or below (-) the expected one, in typical
    deviations of that feature among normal records; for categories it is positive, the surprise.
    `is_return` says of a series that the value is usual again, and the expected one is not: a fault went before.
    """

    feature: str
    share: float
    deviation: float
    value: Any
    expected: Any
    is_return: bool = False

    def to_json(self) -> dict[str, Any]:
        """The cause as the `attribution` column stores it."""
        known = {
            "feature": self.feature,
            "share": self.share,
            "deviation": self.deviation,
            "value": self.value,
            "expected": self.expected,
        }
        return known | {"is_return": True} if self.is_return else known


@dataclass(frozen=True)
class Explanation:
    """Why one record has its score: its causes, largest share first."""

    causes: tuple[Cause, ...] = field(default_factory=tuple)

    @property
    def top_feature(self) -> str | None:
        """The feature with the largest share."""
        return self.causes[0].feature if self.causes else None
