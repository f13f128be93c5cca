"""Metrics come from the store alone; the alert rules and the page name only metrics that there are."""

import re
from datetime import timedelta

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from jobs.api.metrics import _of_settings
from jobs.store import NewEvent
from schemas.config import MonitorConfig
from tests.api_service import NOW, opened_service, serving
from tests.workspace import ROOT

LABELS = ("monitor", "channel", "kind", "state", "label", "outcome", "le")
OF_PROMETHEUS = {"up"}  # it makes this one itself


@pytest.fixture
def service(database_url):
    with opened_service(database_url) as service:
        yield service


@pytest.fixture
def client(service):
    with serving(service) as client:
        yield client


def scrape(client):
    """Return every value by name and labels."""
    metrics = samples(client)
    return {(item.name, *(item.labels[key] for key in LABELS if key in item.labels)): item.value for item in metrics}


def samples(client):
    families = text_string_to_metric_families(client.get("/metrics").body.decode())
    return [sample for family in families for sample in family.samples]


def test_the_ledger_is_counted(client):
    metrics = scrape(client)
    assert metrics["plumbline_records_scored", "pump"] == 1000
    assert (metrics["plumbline_anomalies", "pump"], metrics["plumbline_anomalies", "boiler"]) == (2, 0)
    assert (metrics["plumbline_late_records", "pump"], metrics["plumbline_too_late_records", "pump"]) == (3, 7)
    assert (metrics["plumbline_batches", "pump", "pending"], metrics["plumbline_batches", "pump", "running"]) == (1, 0)
    assert metrics["plumbline_lag_seconds", "pump"] == 300
    assert ("plumbline_lag_seconds", "boiler") not in metrics


def test_runs_are_counted_by_outcome_and_last_success_by_time(client):
    metrics = scrape(client)
    assert metrics["plumbline_last_success_timestamp_seconds", "pump", "score"] == NOW.timestamp()
    assert ("plumbline_last_success_timestamp_seconds", "pump", "train") not in metrics
    assert [metrics["plumbline_runs_last_day", "pump", "score", outcome] for outcome in ("done", "failed")] == [1, 1]
    edges = ("10.0", "30.0", "100.0", "+Inf")
    buckets = [metrics["plumbline_run_seconds_bucket", "pump", "score", edge] for edge in edges]
    assert buckets == [0, 1, 2, 2]
    assert metrics["plumbline_run_seconds_gsum", "pump", "score"] == 90


def test_a_run_of_the_day_before_is_no_run_of_the_last_day(client, service):
    service.store.monitors.register(["boiler"])
    run = service.store.runs.start("boiler", "score", NOW - timedelta(days=1, seconds=1))
    service.store.runs.finish(run, "done", None, None, NOW - timedelta(days=1))
    metrics = scrape(client)
    assert ("plumbline_runs_last_day", "boiler", "score", "done") not in metrics
    assert metrics["plumbline_last_success_timestamp_seconds", "boiler", "score"] == NOW.timestamp() - 86_400


def test_the_realised_rate_follows_the_labels(client):
    assert ("plumbline_false_positive_rate_realised", "boiler") not in scrape(client)
    assert scrape(client)["plumbline_false_positive_rate_realised", "pump"] == 2 / 1000  # the one judged is false
    client.post("/anomalies/2/label", {"label": "confirmed"})
    metrics = scrape(client)
    assert metrics["plumbline_false_positive_rate_realised", "pump"] == 1 / 1000
    labels = ("open", "confirmed", "false_positive")
    labelled = [metrics["plumbline_anomalies_labelled", "pump", label] for label in labels]
    assert labelled == [0, 1, 1]


def test_a_monitor_without_a_rate_has_none_that_its_false_alarms_could_exceed():
    settings = {"table": "t", "key": "id", "numeric": ["flow"], "score_every": "never"}
    by_rate = MonitorConfig(**settings)
    by_discoveries = MonitorConfig(**settings, flag="fdr", false_discovery_rate=0.2)
    rates, _ = _of_settings({"a": by_rate, "b": by_discoveries}, NOW)
    assert [(sample.labels["monitor"], sample.value) for sample in rates.samples] == [("a", by_rate.asked_rate)]


def test_events_requests_incidents_and_alerts_are_counted(client, service):
    before = scrape(client)
    assert before["plumbline_ongoing_events", "pump", "gap"] == before["plumbline_events_total", "pump", "gap"] == 1
    assert before["plumbline_events_total", "", "config_refused"] == 1
    assert before["plumbline_open_incidents", "pump"] == 1
    assert before["plumbline_retrain_requests", "pump", "pending"] == 1
    assert [before["plumbline_alerts", "ops", state] for state in ("pending", "sending", "failed")] == [1, 0, 1]
    assert before["plumbline_oldest_alert_seconds", "ops"] == 60
    service.store.events.add(NewEvent("missed_run", "late", "pump"), NOW)
    client.post("/monitors/pump/retrain", {})
    after = scrape(client)
    assert after["plumbline_events_total", "pump", "missed_run"] == 1
    assert after["plumbline_retrain_requests", "pump", "pending"] == 2


def test_a_metric_has_the_time_at_which_a_run_was_due(client, service):
    metrics = scrape(client)
    assert metrics["plumbline_last_due_timestamp_seconds", "pump"] == NOW.timestamp()
    assert metrics["plumbline_last_due_timestamp_seconds", "boiler"] == NOW.replace(hour=3, minute=0).timestamp()
    assert metrics["plumbline_scheduler_alive",] == 1
    assert metrics["plumbline_waiting_seconds", "pump"] == 0
    service.alive = False
    assert scrape(client)["plumbline_scheduler_alive",] == 0


def test_two_scrapes_and_two_processes_agree(client, service):
    with serving(service) as other:
        ours, theirs = scrape(client), scrape(other)
    mine = {key for key in ours if key[0].startswith("plumbline_")}
    assert len(mine) > 50
    assert {key: ours[key] for key in mine} == {key: theirs[key] for key in mine}


def test_every_metric_of_a_rule_exists(client):
    names = {key[0] for key in scrape(client)}
    (group,) = yaml.safe_load((ROOT / "docs" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    rules = group["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 5
    for rule in rules:
        named = set(re.findall(r"\b(?:plumbline_\w+|up)\b", rule["expr"]))
        assert named
        assert named - names - OF_PROMETHEUS == set()
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_the_page_lists_every_metric_with_its_labels(client):
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(plumbline_\w+)` \| ([\w, ]*)\|", page, re.MULTILINE)
    documented = {name: set(filter(None, labels.strip().split(", "))) for name, labels in rows}
    metrics = {re.sub(r"_(bucket|gcount|gsum)$", "", item.name): set(item.labels) - {"le"} for item in samples(client)}
    metrics = {name: labels for name, labels in metrics.items() if name.startswith("plumbline_")}
    assert documented == metrics
