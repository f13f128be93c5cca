"""Flagged records that resemble one that a person has labelled.

Two records are compared by their causes, in the form in which the store keeps them: by which share each feature has, in
which direction and by how many typical deviations. So a person can check each comparison in the row, and it needs
neither the model nor the record of the label.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from jobs.store.labelled_examples import LabelledExample
from jobs.store.writing import json_ready
from schemas.frames import Explanation

_Causes: TypeAlias = Sequence[Mapping[str, Any]]
_Kind: TypeAlias = tuple[str | None, str, str]  # entity, main cause, and its value if only equal values are alike


@dataclass(frozen=True)
class Suppression:
    """The labelled row that suppresses a flagged record, and the distance between the two."""

    anomaly_id: int
    distance: float


class LookAlikes:
    """The labelled records of a monitor, by entity and main cause.

    Args:
        examples: labelled rows; of two that are equally near, the first counts.
        radius: the largest distance of a look-alike; 0 for none.
        exact: features of which only equal values are alike, such as categories.
    """

    def __init__(
        self, examples: Iterable[LabelledExample] = (), radius: float = 0.0, exact: Collection[str] = ()
    ) -> None:
        self.radius, self.exact = radius, frozenset(exact)
        by_kind: dict[_Kind, list[LabelledExample]] = defaultdict(list)
        for example in examples if radius > 0 else ():
            if example.attribution:
                by_kind[self._kind(example.entity, example.attribution)].append(example)
        self._examples = {kind: _Examples.of(same_kind) for kind, same_kind in by_kind.items()}

    def suppression(self, entity: str | None, explanation: Explanation) -> Suppression | None:
        """Return the label that suppresses a flagged record, or None.

        That is the nearest labelled record of the same entity and main cause, if it is a false positive within the
        radius; a confirmed one that is nearer keeps the record.
        """
        if not self._examples or not explanation.causes:
            return None
        causes = [json_ready(cause.to_json()) for cause in explanation.causes]
        examples = self._examples.get(self._kind(entity, causes))
        if examples is None:
            return None
        distances = examples.distances(vector_of(causes))
        nearest = int(distances.argmin())
        example, distance = examples.rows[nearest], float(distances[nearest])
        is_alike = distance <= self.radius and example.label == "false_positive"
        return Suppression(example.anomaly_id, distance) if is_alike else None

    def _kind(self, entity: str | None, causes: _Causes) -> _Kind:
        feature, value = causes[0]["feature"], causes[0]["value"]
        return entity, feature, str(value) if value is None or feature in self.exact else ""


def vector_of(causes: _Causes) -> dict[str, float]:
    """Return a number for each cause: 1 plus its deviation, with its sign, times its part of all shares.

    >>> flow = {"feature": "flow", "share": 3.0, "deviation": -7.0}
    >>> vector_of([flow, {"feature": "temp", "share": 1.0, "deviation": 1.0}])
    {'flow': -6.0, 'temp': 0.5}
    """
    total = math.fsum(cause["share"] or 0.0 for cause in causes) or 1.0
    sizes = {
        cause["feature"]: math.copysign(1 + abs(cause["deviation"] or 0.0), cause["deviation"] or 0.0)
        for cause in causes
    }
    return {cause["feature"]: sizes[cause["feature"]] * (cause["share"] or 0.0) / total for cause in causes}


@dataclass(frozen=True)
class _Examples:
    """Labelled rows of one entity and main cause, as vectors.

    Attributes:
        rows: the n rows.
        features: the f features that their causes name.
        vectors: (n, f).
    """

    rows: Sequence[LabelledExample]
    features: Sequence[str]
    vectors: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[LabelledExample]) -> "_Examples":
        parts = [vector_of(row.attribution) for row in rows]
        features = sorted({name for part in parts for name in part})
        return cls(rows, features, np.array([[part.get(name, 0.0) for name in features] for part in parts]))

    def distances(self, vector: Mapping[str, float]) -> np.ndarray:
        """Return the Euclidean distance (n,) of each row as a share of the longer vector: 0 if equal, at most 2."""
        shared = np.array([vector.get(name, 0.0) for name in self.features])
        others = math.fsum(value**2 for name, value in vector.items() if name not in self.features)
        between = np.sqrt(np.square(self.vectors - shared).sum(axis=1) + others)
        longer = np.maximum(np.sqrt(np.square(self.vectors).sum(axis=1)), math.hypot(*vector.values()))
        return np.asarray(between / np.where(longer > 0, longer, 1.0))
