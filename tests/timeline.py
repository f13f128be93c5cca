"""A timeline of one machine for tests: half a day of records, two events, two incidents."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from jobs.demo.events import LEAK, MORE_LOAD, Event
from jobs.demo.timeline import Timeline
from jobs.store import StoredIncident

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
FAULT = Event(LEAK, "a", START + 40 * STEP, START + 59 * STEP, ("power",), ("flow", "power"))
CHANGE = Event(MORE_LOAD, "a", START + 100 * STEP, START + 119 * STEP, ("flow",), ("flow", "power"))


def incident(number, first, last, **changes):
    """Make an incident from one row to another."""
    start, end = START + first * STEP, START + last * STEP
    cause = {"feature": "power", "deviation": 4.0, "share": 1.0, "value": 9.0, "expected": 5.0, "time": end.isoformat()}
    values = {
        "id": number,
        "monitor": "pump",
        "entity": "a",
        "state": "ended",
        "start_time": start,
        "end_time": end,
        "peak_time": end,
        "peak_score": 2.0,
        "peak_severity": 50.0,
        "records": 2,
        "top_feature": "power",
        "causes": [cause],
        "is_muted": False,
        "held_back": None,
        "suppressed_by": None,
        "raised_by": None,
        "merged_into": None,
        "opened_at": end,
        "updated_at": end,
    }
    return StoredIncident(**(values | changes))


def make_timeline(flagged=((45, 1, "flow"), (50, 1, "power"), (62, 1, "power"), (90, 2, "flow")), incidents=None):
    """Make a timeline with flagged (row, incident, cause); rows 70 to 79 are missing."""
    rows = np.arange(144)
    times = pd.Series([START + int(row) * STEP for row in rows])
    records = pd.DataFrame({"time": times, "entity": "a", "flow": 5 + np.sin(rows / 9), "power": 9 - np.cos(rows / 9)})
    records = records.assign(
        is_fault=times.between(FAULT.start, FAULT.end),
        anomaly_score=0.5,
        threshold=1.0,
        is_anomaly=False,
        incident=pd.Series(pd.NA, index=records.index, dtype="Int64"),
        cause=pd.Series(None, index=records.index, dtype="str"),
    )
    for row, number, cause in flagged:
        records.loc[row, ["anomaly_score", "is_anomaly", "incident", "cause"]] = [2.0, True, number, cause]
    kept = records.drop(index=range(70, 80)).reset_index(drop=True)
    incidents = (incident(1, 45, 62), incident(2, 90, 90)) if incidents is None else incidents
    return Timeline(kept, incidents, (FAULT, CHANGE))
