"""Flagged records and incidents that resemble what a person has labelled.

They are compared by their causes, in the form in which the store keeps them: by which share each feature has, in which
direction and by how many typical deviations. So a person can check each comparison in the row, and it needs neither the
model nor the record of the label. Records of a table are compared one by one; of series whole incidents are, since
the records of a fault differ from its beginning to its end.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from jobs.causes import vector_of
from jobs.recurring_incidents import CLEARANCE, RecurringIncidents
from jobs.store.alert_rule import ReadCauses
from jobs.store.incident_summary import IncidentSummary, causes_of_incident, largest_shares
from jobs.store.labelled_examples import LabelledExample, by_incident
from jobs.store.writing import json_ready
from jobs.times_of_day import is_same_time_of_day
from schemas.config import MonitorConfig
from schemas.frames import Explanation

_Causes: TypeAlias = Sequence[Mapping[str, Any]]
_Kind: TypeAlias = tuple[str | None, str, str]  # entity, main cause, and its value if only equal values are alike

MAX_FIRST_SHARE = 0.6  # of all shares: beyond it mainly sizes compare, and faults have the same sizes
FEWEST_OF_ONE_CAUSE = 3  # labels within the radius that it takes then
FEWEST_AT_SAME_TIME = 2  # labels, if they are at the time of day of the record
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Resemblance:
    """The labelled row that a flagged record or an incident resembles, its label, and the distance between the two."""

    anomaly_id: int
    label: str
    distance: float


class LookAlikes:
    """The labelled records or incidents of a monitor, by entity and main cause.

    Args:
        examples: labelled rows, those with the newest label first.
        radius: the largest distance of a look-alike; 0 for none.
        exact: features of which only equal values are alike, such as categories.
        zone: of the times of day.
        of_series: whether incidents are compared, and not records.
    """

    def __init__(
        self,
        examples: Iterable[LabelledExample] = (),
        radius: float = 0.0,
        exact: Collection[str] = (),
        zone: ZoneInfo = _UTC,
        *,
        of_series: bool = False,
    ) -> None:
        self.radius, self.exact, self.zone, self.of_series = radius, frozenset(exact), zone, of_series
        labelled = [example for example in examples if example.attribution] if radius > 0 else []
        self._recurring = RecurringIncidents(labelled if of_series else (), radius, zone)
        by_kind: dict[_Kind, list[LabelledExample]] = defaultdict(list)
        for example in _merged_by_incident(labelled) if of_series else labelled:
            by_kind[self._kind(example.entity, example.attribution)].append(example)
        self._examples = {kind: _Examples.of(same_kind) for kind, same_kind in by_kind.items()}

    def resembled(
        self, entity: str | None, explanation: Explanation, time: datetime | None = None
    ) -> Resemblance | None:
        """Return the labelled row that a flagged record resembles, or None; always None for series."""
        if self.of_series or not self._examples:
            return None
        return self._resembled(entity, [json_ready(cause.to_json()) for cause in explanation.causes], time=time)

    def false_alarm_like(self, summary: IncidentSummary, read_causes: ReadCauses) -> int | None:
        """Return the row labelled as a false positive whose incident another one of series repeats, or None."""
        return self._recurring.false_alarm_like(summary, read_causes)

    def confirmed_like(self, summary: IncidentSummary, own: Collection[int] = ()) -> int | None:
        """Return the confirmed row that an incident resembles, or None; its own rows do not count."""
        found = self._resembled(summary.entity, summary.causes, own)
        return found.anomaly_id if found is not None and found.label == "confirmed" else None

    def _resembled(
        self, entity: str | None, causes: _Causes, own: Collection[int] = (), time: datetime | None = None
    ) -> Resemblance | None:
        """Return the label that decides, or None; labels of the incident's own rows do not count.

        Of the labels within the radius that is the one whose causes are the most similar in size as well. A false
        positive decides nothing if a confirmed label is near.
        """
        examples = self._examples.get(self._kind(entity, causes)) if causes else None
        if examples is None:
            return None
        distances, differences = examples.distances(vector_of(causes))
        is_alike = (distances <= self.radius) & ~examples.are_among(own)
        nearest = int(np.where(is_alike, differences, np.inf).argmin())
        example = examples.rows[nearest]
        is_doubtful = example.label == "false_positive" and self._is_confirmed_near(examples, distances)
        is_same_time = is_alike & examples.are_at_time_of(time, self.zone)
        count, at_same_time = (examples.labelled(example.label, chosen) for chosen in (is_alike, is_same_time))
        if is_doubtful or not self._are_enough(causes, count, at_same_time):
            return None
        return Resemblance(example.anomaly_id, example.label, float(distances[nearest]))

    def _is_confirmed_near(self, examples: "_Examples", distances: np.ndarray) -> bool:
        return examples.labelled("confirmed", distances <= CLEARANCE * self.radius) > 0

    def _are_enough(self, causes: _Causes, count: int, at_same_time: int) -> bool:
        """Return whether labels within the radius suffice: it takes more of them if one cause has most of the score.

        Of a feature of which only equal values are alike one label is enough.

        Args:
            causes: of what is compared with them.
            count: number of labels within the radius.
            at_same_time: number of such labels at the same time of day.
        """
        total = math.fsum(cause["share"] or 0.0 for cause in causes)
        is_single = (causes[0]["share"] or 0.0) > MAX_FIRST_SHARE * total
        if not is_single or causes[0]["feature"] in self.exact:
            return count > 0
        return not self.of_series and (count >= FEWEST_OF_ONE_CAUSE or at_same_time >= FEWEST_AT_SAME_TIME)

    def _kind(self, entity: str | None, causes: _Causes) -> _Kind:
        feature, value = causes[0]["feature"], causes[0]["value"]
        return entity, feature, str(value) if value is None or feature in self.exact else ""


NO_LOOK_ALIKES = LookAlikes()


def distances_of(causes: _Causes, others: Sequence[_Causes]) -> np.ndarray:
    """Return the distance (n,) of causes from each of n others, as a share of their length."""
    rows = [LabelledExample(position, None, None, "", other) for position, other in enumerate(others)]
    return _Examples.of(rows).distances(vector_of(causes))[0]


def look_alikes_of(monitor: MonitorConfig, examples: Iterable[LabelledExample]) -> LookAlikes:
    """Return the labelled records or incidents of a monitor, at its radius."""
    exact = (*monitor.categorical, *monitor.boolean)
    zone = ZoneInfo(monitor.time_zone)
    return LookAlikes(examples, monitor.alert.look_alike_radius, exact, zone, of_series=monitor.series is not None)


def _merged_by_incident(examples: Iterable[LabelledExample]) -> list[LabelledExample]:
    """Merge the causes of the rows of an incident with the same label, as the incident merges those of all rows."""
    merged = []
    for rows in by_incident(examples):
        causes = causes_of_incident((cause for row in rows for cause in row.attribution), time="")
        merged.append(replace(rows[0], attribution=largest_shares(causes)))
    return merged


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

    def labelled(self, label: str, is_chosen: np.ndarray) -> int:
        """Return how many of the chosen rows, (n,) bool, have a label."""
        return sum(row.label == label for row, chosen in zip(self.rows, is_chosen.tolist(), strict=True) if chosen)

    def are_among(self, anomaly_ids: Collection[int]) -> np.ndarray:
        """Return (n,) bool: which rows are among some flagged rows."""
        return np.array([row.anomaly_id in anomaly_ids for row in self.rows])

    def are_at_time_of(self, time: datetime | None, zone: ZoneInfo) -> np.ndarray:
        """Return (n,) bool: which rows are at the same time of day as a time; none if there is no time."""
        if time is None:
            return np.zeros(len(self.rows), dtype=bool)
        return np.array([row.time is not None and is_same_time_of_day(time, row.time, zone) for row in self.rows])

    def distances(self, vector: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Return the distance (n,) of a vector from each row, as a share of its length, and the length (n,) between.

        A row is shortened to the length at which it is nearest, since what is alike but smaller is alike.
        """
        shared = np.array([vector.get(name, 0.0) for name in self.features])
        others = math.fsum(value**2 for name, value in vector.items() if name not in self.features)
        length = math.hypot(*vector.values()) or 1.0
        squares = np.square(self.vectors).sum(axis=1)
        shortened = np.clip((self.vectors * shared).sum(axis=1) / np.where(squares > 0, squares, 1.0), 0.0, 1.0)
        between = np.sqrt(np.square(self.vectors * shortened[:, None] - shared).sum(axis=1) + others)
        return between / length, np.sqrt(np.square(self.vectors - shared).sum(axis=1) + others)
