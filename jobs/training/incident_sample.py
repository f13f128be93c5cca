"""The sample of incidents that a new model still has to flag."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from detector.core.comparison import FlaggedCount
from detector.core.scorer import Scorer
from detector.core.subsample import subsample_evenly
from jobs.reading.context import in_context
from jobs.reading.rows import in_key_order
from jobs.reading.source import Source, keys_of
from jobs.store.feedback import FlaggedIncident
from schemas.frames import IS_ANOMALY
from schemas.keys import Key, key_label, keys_of_labels

MAX_INCIDENTS = 50
MAX_RECORDS = 20  # of an incident


@dataclass(frozen=True)
class IncidentSample:
    """Records of incidents, with the number of the incident (n,) that each belongs to.

    Attributes:
        records: in key order.
        incidents: (n,) of the records.
    """

    records: pd.DataFrame
    incidents: np.ndarray

    @classmethod
    def read(cls, incidents: Sequence[FlaggedIncident], source: Source, like: Key) -> "IncidentSample":
        """Read records of at most fifty incidents, both evenly spread; a record that no longer exists is left out.

        Args:
            incidents: oldest first.
            source: the watched table.
            like: a key of the table, whose types the keys have.
        """
        number_of: dict[str, int] = {}
        for number in subsample_evenly(len(incidents), MAX_INCIDENTS).tolist():
            flagged = incidents[number].records
            number_of |= {flagged[row].key: number for row in subsample_evenly(len(flagged), MAX_RECORDS).tolist()}
        records = source.read_keys(list(keys_of_labels(list(number_of), like)), [])
        records = in_key_order(records, source.monitor).reset_index(drop=True)
        numbers = [number_of[key_label(key)] for key in keys_of(records, source.monitor.key)]
        return cls(records, np.array(numbers, dtype=np.int64))

    def flagged_by(self, scorer: Scorer, source: Source) -> FlaggedCount:
        """Count the incidents, and those with a record that a model flags, by its fixed thresholds."""
        bound = in_context(scorer, self.records, source, is_page=False)
        is_flagged = bound.score(self.records)[IS_ANOMALY].to_numpy(dtype=bool)
        return FlaggedCount(len(np.unique(self.incidents[is_flagged])), len(np.unique(self.incidents)))
