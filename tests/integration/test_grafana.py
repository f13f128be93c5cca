"""The dashboards of deploy/grafana: each query runs on a store with rows in every table, each metric is one of ours."""

import json
import re
from pathlib import Path

import pytest
import yaml
from sqlalchemy import insert

from jobs.api.metrics import render
from jobs.databases import reading, writing
from schemas.tables import batch_hours
from tests.api_service import NOW, opened_service

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("dashboards/*.json"))}
PANELS = [(name, panel) for name, board in BOARDS.items() for panel in board["panels"]]
PROVISIONED = yaml.safe_load((FOLDER / "provisioning/datasources/plumbline.yaml").read_text())
SOURCES = {source["uid"] for source in PROVISIONED["datasources"]}
TIMES = {"$__timeFrom()": "'2000-01-01T00:00:00Z'", "$__timeTo()": "'2100-01-01T00:00:00Z'"}


@pytest.fixture(scope="module")
def service(empty_database):
    hour = {"batch_id": 1, "monitor": "pump", "hour": NOW.replace(minute=0), "records": 60, "anomalies": 2}
    with empty_database() as url, opened_service(url) as made:
        with writing(made.store.engine) as connection:
            connection.execute(insert(batch_hours).values(hour))
        yield made


def targets(kind):
    return [
        pytest.param(target, id=f"{name}-{panel['title']}")
        for name, panel in PANELS
        for target in panel["targets"]
        if kind in target
    ]


def expanded(sql):
    """Return a query with the values that Grafana puts in place of its macros and variables."""
    sql = re.sub(r"\$__timeFilter\((.+?)\)", r"\1 BETWEEN '2000-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'", sql)
    for macro, value in TIMES.items():
        sql = sql.replace(macro, value)
    return sql.replace("$monitor", "'pump', 'boiler'")


@pytest.mark.parametrize("target", targets("rawSql"))
def test_each_query_finds_rows(service, target):
    with reading(service.store.engine) as connection:
        result = connection.exec_driver_sql(expanded(target["rawSql"]))
        columns, rows = list(result.keys()), result.all()
    assert rows
    assert target["format"] == "table" or columns == ["time", "metric", "value"]


@pytest.mark.parametrize("target", targets("expr"))
def test_each_metric_exists(service, target):
    exported = set(re.findall(r"^(plumbline_\w+)", render(service).decode(), re.MULTILINE))
    named = set(re.findall(r"plumbline_\w+", target["expr"]))
    assert named
    assert named <= exported


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_uses_the_provisioned_sources_and_its_panels_do_not_overlap(name):
    panels = BOARDS[name]["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} <= SOURCES
    cells = [cell for panel in panels for cell in _cells(**panel["gridPos"])]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24


def _cells(x, y, w, h):
    return [(column, row) for column in range(x, x + w) for row in range(y, y + h)]


def test_every_incident_links_to_its_page():
    assert "/page/incidents/${__value.raw}" in json.dumps(BOARDS["incidents"])
