"""`plumbline monitors` and `plumbline prune`, and the monitors that `status` misses in the configuration."""

import pytest

from tests.workspace import PUMP

MODEL = (
    "INSERT INTO models (monitor, state, created_at, promoted_at, sha256, artifact, manifest, card)"
    " VALUES ('{}', 'champion', '2026-01-01 00:00:00', '2026-01-01 00:00:00', 'ab', x'00', '{{}}', '{{}}')"
)


@pytest.fixture
def site(workspace):
    """A workspace whose store has a monitor that the configuration lacks."""
    workspace.configure("sqlite:///plumbline.db", PUMP)
    workspace.must("migrate")
    workspace.query(MODEL.format("mill"))
    return workspace


def test_status_names_monitors_that_are_not_in_the_configuration(site):
    assert "In the store but not in the configuration: mill." in site.must("status").out
    site.query("UPDATE models SET monitor = 'pump'")
    assert "not in the configuration" not in site.must("status").out


def test_monitors_are_listed_renamed_and_deleted(site):
    listed = site.must("monitors", "list", "--json").json
    assert [(item["monitor"], item["is_configured"]) for item in listed] == [("mill", False), ("pump", True)]
    assert "mill" in site.must("monitors", "list").out

    refused = site.plumbline("monitors", "rename", "mill", "pump")
    assert (refused.code, "Add --yes" in refused.err) == (2, True)
    refused = site.plumbline("monitors", "rename", "mill", "Pump!", "--yes")
    assert (refused.code, "cannot name a monitor" in refused.err) == (2, True)
    assert "Monitor 'mill' is now 'pump'" in site.must("monitors", "rename", "mill", "pump", "--yes").out
    assert site.query("SELECT monitor FROM models") == [("pump",)]

    refused = site.plumbline("monitors", "delete", "pump")
    assert (refused.code, "Add --yes" in refused.err) == (2, True)
    out = site.must("monitors", "delete", "pump", "--yes").out
    assert "is deleted from the store" in out
    assert "config.toml still has it" in out
    assert site.query("SELECT monitor FROM models") == []


def test_prune_counts_with_dry_run_and_deletes_without(site):
    run = (
        "INSERT INTO runs (monitor, kind, started_at, finished_at, outcome) VALUES ('pump', 'score', {0}, {0}, 'done')"
    )
    for day in ("2020-01-01", "2020-01-02"):
        site.query(run.format(f"'{day} 00:00:00'"))
    dry = site.must("prune", "--dry-run", "--json").json
    assert dry == {"dry_run": True, "deleted": {"service": {}, "pump": {"runs": 1}}}
    assert "1 row would be deleted." in site.must("prune", "pump", "--dry-run").out
    assert site.query("SELECT count(*) FROM runs") == [(2,)]
    assert "1 row deleted." in site.must("prune").out
    assert site.query("SELECT started_at FROM runs") == [("2020-01-02 00:00:00",)]
    assert "There is nothing to delete." in site.must("prune").out
    assert site.plumbline("prune", "mill").code == 2
