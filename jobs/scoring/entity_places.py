"""The places of records among those of their entity, by which flagged records in a row are counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from detector.series.segments import entities_of
from jobs.store.batch_result import Anomaly, BatchResult
from schemas.config import MonitorConfig


@dataclass(frozen=True)
class EntityPlaces:
    """The places of consecutive records among those of their entity.

    Attributes:
        entities: (n,) name of the entity of each record, "" for records of none.
    """

    entities: np.ndarray

    @property
    def counts(self) -> Counter[str]:
        """The number of records of each entity."""
        return Counter(self.entities.tolist())

    @classmethod
    def of(cls, records: pd.DataFrame, monitor: MonitorConfig) -> "EntityPlaces | None":
        """Return the places of records in the order of their keys; None if no rule needs them."""
        if monitor.alert.flagged_of.of == 1:
            return None
        nobody = np.full(len(records), "", dtype=object)
        return cls(entities_of(records, monitor.entity) if monitor.entity else nobody)

    def put_on(self, anomalies: Sequence[Anomaly], is_flagged: np.ndarray) -> tuple[Anomaly, ...]:
        """Return the flagged records (k,) with their places; (n,) marks them among the records."""
        entities = pd.Series(self.entities)
        positions = (entities.groupby(entities).cumcount().to_numpy()[is_flagged] + 1).tolist()
        return tuple(
            replace(item, entity_position=position) for item, position in zip(anomalies, positions, strict=True)
        )

    @staticmethod
    def at(item: Anomaly, counts: Mapping[str, int]) -> Anomaly:
        """Return a flagged record with its place, from the numbers of records up to and including it."""
        return replace(item, entity_position=counts[item.entity or ""])


def joined_places(pages: Sequence[BatchResult]) -> tuple[tuple[Anomaly, ...], Mapping[str, int] | None]:
    """Return the flagged records of the pages of a batch with their places in the batch, and the counts of entities."""
    anomalies: list[Anomaly] = []
    counts: Counter[str] = Counter()
    for page in pages:
        anomalies += (_moved(item, counts[item.entity or ""]) for item in page.anomalies)
        counts.update(page.entity_counts or {})
    is_counted = any(page.entity_counts is not None for page in pages) or not pages
    return tuple(anomalies), counts if is_counted else None


def _moved(item: Anomaly, by: int) -> Anomaly:
    return item if item.entity_position is None else replace(item, entity_position=item.entity_position + by)
