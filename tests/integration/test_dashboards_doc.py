"""Every query of docs/dashboards.md runs on a store like the demo's, and returns the columns on the page."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from detector.core.drift import Drift
from detector.records.card import RecordCard
from jobs.databases import writing
from jobs.importing.importing import import_file
from jobs.join_view import create_join_view
from jobs.reading.source import Source
from jobs.store import Anomaly, AnomalyQuery, BatchResult, HourCount, NewModel
from jobs.store.alert_rule import AlertRule, IncidentRule
from jobs.store.drifts import DriftResponse, ProfileWindow
from schemas.config import MonitorConfig
from schemas.frames import Cause, Explanation
from schemas.keys import KeyRange
from schemas.views import VIEWS

PAGE = Path(__file__).parents[2] / "docs" / "dashboards.md"
READ_AT = datetime(2026, 2, 21, 7, 30, tzinfo=UTC)
READINGS = f"""id,read_at,pump_id,flow_m3h,vibration_mm_s,bearing_c,event,is_fault
1,{READ_AT.isoformat()},pump-1,151.2,1.94,43.1,bearing wear,true
"""
# A fenced block, the database that its first line may name, and the header of a table that follows it at once.
BLOCK = re.compile(r"^```sql\n(?:-- (SQLite|PostgreSQL)\n)?(.+?)^```\n(?:\n\| ([^\n]+) \|$)?", re.DOTALL | re.MULTILINE)


@pytest.fixture
def demo(store, tmp_path):
    """A store with a monitor named pump that has flagged a reading."""
    path = tmp_path / "pump_readings.csv"
    path.write_text(READINGS, encoding="utf-8")
    import_file(path, store.engine, "pump_readings")
    causes = Explanation((Cause("vibration_mm_s", 1.4, 9.0, 1.94, 1.3), Cause("bearing_c", 0.6, -2.0, None, 42.9)))
    flagged = Anomaly("1", 1, READ_AT, "pump-1", 2.0, 0.001, 50.0, 1.0, causes)
    scored_at = datetime.now(UTC)  # the view of the last day goes by the database's clock
    model_id = store.models.add("pump", NewModel(b"", "", {}, RecordCard()), scored_at, promote=True)
    store.ledger.plan("pump", KeyRange(None, (1,)), scored_at)
    batch = store.ledger.claim("pump", model_id, scored_at, timedelta(hours=1))
    result = BatchResult(1, (flagged,), (HourCount(READ_AT, 1, 1),), newest_time=READ_AT)
    store.ledger.finish(batch, result, scored_at, IncidentRule(timedelta(minutes=15), AlertRule()))
    drift = Drift(1, 0.4, 1e-9, {"flow_m3h": 0.3, "bearing_c": 0.01}, ("flow_m3h",), is_score_drift=True)
    store.drifts.add(ProfileWindow("pump", model_id, 1, 1, 1, {}), drift, DriftResponse("Drift."), scored_at)
    source = Source("pump", MonitorConfig(table="pump_readings", key="id", numeric="flow_m3h"), store.engine)
    create_join_view(store, source)
    source.close()
    return store


def test_every_query_of_the_page_finds_rows_with_the_columns_that_the_page_shows(demo):
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == PAGE.read_text(encoding="utf-8").count("```sql")
    here = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[demo.engine.dialect.name]
    for database, sql, header in blocks:
        if database in {"", here}:
            columns, rows = run(demo, sql)
            assert rows > 0, sql
            assert not header or columns == header.split(" | "), sql
    assert demo.anomalies.page(AnomalyQuery(label="known"))[0].labelled_at.year >= 2026


def run(store, sql):
    """Return the columns of a statement's result, none if it changes rows, and the number of rows."""
    with writing(store.engine) as connection:
        result = connection.exec_driver_sql(sql)
        return (list(result.keys()), len(result.all())) if result.returns_rows else ([], result.rowcount)


def test_each_view_has_a_section_that_names_its_columns(demo):
    sections = dict(re.findall(r"^## (\w+)\n(.+?)(?=^## )", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
    assert {"open_anomalies", "open_incidents", "drift_by_feature"} <= {view.__name__ for view in VIEWS}
    for view in (view.__name__ for view in VIEWS):
        columns, _ = run(demo, f"SELECT * FROM {view}")
        listed = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", sections[view], re.MULTILINE)))
        assert sorted(listed) == sorted(columns)
