"""The alerts that a forecast previews are those that scoring the same records as they come really sends."""

from datetime import timedelta

import numpy as np
import pytest

from jobs.alert_preview import AlertPreview
from jobs.app import open_store
from jobs.reading.context import in_context
from jobs.store import migrations
from tests.watched_table import START, MonitoredTable

HOURS = 26
STEP = timedelta(minutes=10)
RUN = timedelta(hours=1)
ALERT = {
    "channels": ["ops", "pager"],
    "severity": 8,
    "escalate_severity": 60,
    "on": ["open", "worse", "new_cause", "end", "reminder"],
    "remind_every": "2h",
    "records": 2,
    "consecutive": {"records": 3, "of": 5},
    "ignore_below": {"flow": 6},
    "quiet_hours": "22:00-06:00",
    "routes": [{"severity": 50, "channels": ["pager"]}],
}
WINDOW = {"start": START + timedelta(hours=12), "end": START + timedelta(hours=14)}
SETTINGS = {
    "alert": ALERT,
    "settle": "1m",
    "score_every": "1h",
    "incident_gap": "70m",
    "silent_after": "never",
    "maintenance": [WINDOW],
}


@pytest.fixture(params=["records", "series"])
def pump(sqlite_engine, request):
    """Records of three pumps in random order, some of them without a pump; pump-1 has a fault that becomes severe."""
    migrations.upgrade(sqlite_engine)
    kind = {"series": {}} if request.param == "series" else {}
    rng, pump = np.random.default_rng(3), MonitoredTable(open_store(sqlite_engine), batch_size=50, **SETTINGS, **kind)
    chances, levels = [0.66, 0.06, 0.07, 0.15, 0.06], [1.0, 5.0, 7.0, 20.0, 70.0]
    for key in range(1, 6 * HOURS + 1):
        entity = ("pump-1", "pump-2", "pump-3", None)[rng.choice(4, p=[0.5, 0.3, 0.15, 0.05])]
        fault = (20.0 if key < 85 else 70.0) if entity == "pump-1" and 60 <= key <= 110 else 0.0
        value = max(float(rng.choice(levels, p=chances)), fault)
        pump.put(key, value=value, entity=entity, time=START + key * STEP)
    return pump


def scored_run_by_run(pump):
    """Score the records as `serve` would, and return the counts of alerts."""
    for run in range(1, HOURS + 2):
        pump.now = START + run * RUN
        pump.score()
    return pump.store.alert_history.counts("pump")


def previewed(pump, batch_size):
    pump.settings["batch_size"] = batch_size
    source, scorer = pump.source(), pump.models[1]
    with AlertPreview.opened("pump", source.monitor, START + HOURS * timedelta(hours=1)) as preview:
        for page in source.pages(None):
            bound = in_context(scorer, page, source)
            preview.add(page, bound.score(page), bound)
        counts = preview.counts()
    source.close()
    return counts


def test_a_preview_counts_exactly_the_alerts_that_scoring_sends(pump):
    whole, paged = previewed(pump, 1_000), previewed(pump, 17)
    assert whole == paged == scored_run_by_run(pump)
    assert {"maintenance", "rules", "severity", "records", "consecutive"} <= {*whole.held_back}
    assert whole.left_out.keys() == {"maintenance", "ignore_below"}
    assert whole.by_reason.keys() >= {"opened", "escalated", "ended", "reminder"}
    assert whole.by_channel["ops"] > whole.by_channel["pager"] > 0
    assert len(whole.by_day) == 2


def test_a_record_of_the_far_future_delays_no_other(pump):
    before = previewed(pump, 1_000)
    pump.correct(50, time=(START + timedelta(days=99_999)).replace(tzinfo=None), value=20.0)
    after = previewed(pump, 1_000)
    assert after.by_day.keys() == before.by_day.keys()
    assert after.incidents == before.incidents + 1


def test_without_channels_it_counts_what_a_channel_would_get(pump):
    pump.settings["alert"] = {}
    counts = previewed(pump, 1_000)
    assert counts.by_channel.keys() == {"any channel"}
    assert counts.alerts > counts.incidents > 0
