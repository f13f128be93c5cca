"""Which records of a batch are flagged, by a fixed rate and by a false discovery rate."""

import numpy as np
import pandas as pd
import pytest

from detector.core.calibration import benjamini_hochberg
from jobs.reading.source import Source
from jobs.scoring.run import score_monitor
from jobs.store.anomalies import AnomalyQuery
from jobs.training.train import train_monitor
from schemas.config import ModelConfig, MonitorConfig

TRAINING, BATCH = 600, 200
ANOMALIES = (0, 20, 40)  # in each batch
LEVEL = 0.1


@pytest.fixture
def scored(store, engine, now):
    """Return a function that trains, scores three batches, and returns every score and the flagged rows."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(TRAINING + BATCH * len(ANOMALIES), 2))
    for i, count in enumerate(ANOMALIES):
        start = TRAINING + BATCH * i
        values[start : start + count] += 12
    readings = pd.DataFrame(values, columns=["flow", "pressure"], index=pd.RangeIndex(1, len(values) + 1, name="id"))
    readings.to_sql("readings", engine)

    def scorer(**settings):
        tiny = ModelConfig(members=1, hidden=8, steps=20)
        given = {"table": "readings", "key": "id", "numeric": ["flow", "pressure"], "normal": f"id <= {TRAINING}"}
        monitor = MonitorConfig(**given, **settings, store_scores="all", batch_size=BATCH, model=tiny)
        source = Source("pump", monitor, engine)
        train_monitor(source, store, lambda: now)
        score_monitor(source, store, lambda: now)
        source.close()
        return store.anomalies.scores("pump"), store.anomalies.page(AnomalyQuery("pump", limit=10_000))

    return scorer


def test_a_false_discovery_rate_decides_by_the_p_values_of_each_batch(scored):
    scores, flagged = scored(flag="fdr", false_discovery_rate=LEVEL)
    batches = [part for _, part in scores.groupby(np.arange(len(scores)) // BATCH)]
    decided = [benjamini_hochberg(part["p_value"].to_numpy(), LEVEL) for part in batches]
    assert scores["is_anomaly"].astype(bool).tolist() == np.concatenate(decided).tolist()
    new = slice(TRAINING // BATCH, None)
    for is_flagged, count in zip(decided[new], ANOMALIES, strict=True):
        assert is_flagged[:count].all()
        assert is_flagged.sum() <= 1.5 * count
    assert {row.threshold for row in flagged} != {flagged[0].threshold}
    assert all(row.anomaly_score > row.threshold for row in flagged)


def test_a_fixed_rate_flags_normal_records_in_every_batch(scored):
    scores, flagged = scored(false_positive_rate=0.05)
    assert (scores["is_anomaly"].astype(bool) == (scores["p_value"] <= 0.05)).all()
    assert {int(row.record_key) // BATCH for row in flagged} == set(range(6))
    assert len({row.threshold for row in flagged}) == 1
