"""`plumbline mcp` answers the reference client over standard input and output, and writes nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest
from mcp import Client, StdioServerParameters

from jobs.app import App
from jobs.mcp.bounded import MAX_ITEMS, MAX_TEXT_LENGTH, bounded
from jobs.mcp.newest_config import NewestConfig
from tests.e2e.test_starting import modules_after
from tests.workspace import FAULTS, ROOT

CALLS = {
    "monitors": ("list_monitors", {}),
    "incidents": ("list_incidents", {"monitor": "pump", "limit": 50}),
    "later": ("list_incidents", {"since": "2030-01-01T00:00:00"}),
    "diagnosis": ("diagnose", {"monitor": "pump"}),
    "forecast": ("forecast", {"monitor": "pump"}),
    "unknown": ("diagnose", {"monitor": "pmup"}),
    "missing": ("show_incident", {"incident_id": 999}),
    "excess": ("list_events", {"limit": 51}),
    "beyond": ("list_events", {"before": 2**63}),
}


ANOTHER = """
[monitors.fan]
table = "fan"
key = "id"
numeric = ["flow"]
"""


async def converse(folder, worst):
    """Return the tools of a server in a folder, and the result of each call and of those about the worst incident."""
    config = folder / "mcp.toml"
    config.write_text((folder / "config.toml").read_text())
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "jobs.cli", "mcp", "--config", str(config)],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        cwd=str(folder),
    )
    of_worst = {"incident": ("show_incident", {"incident_id": worst})}
    of_worst["anomalies"] = ("list_anomalies", {"incident_id": worst})
    async with Client(server, read_timeout_seconds=120) as client:
        results = {name: await client.call_tool(*call) for name, call in (CALLS | of_worst).items()}
        with config.open("a") as file:
            file.write(ANOTHER)
        results["changed"] = await client.call_tool("list_monitors", {})
        return (await client.list_tools()).tools, results


@pytest.mark.parametrize("plant", ["sqlite"], indirect=True)
def test_a_client_finds_the_fault_its_cause_and_why_records_are_flagged(plant):
    listed = plant.must("incidents", "list", "--json").json
    worst = max(listed, key=lambda incident: incident["peak_score"])["id"]
    tools, results = asyncio.run(converse(plant.folder, worst))
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    answers = {name: result.structured_content for name, result in results.items() if not result.is_error}
    (monitor,) = answers["monitors"]["monitors"]
    assert (monitor["name"], monitor["status"]["records"]) == ("pump", 840)
    assert [monitor["name"] for monitor in answers["changed"]["monitors"]] == ["pump", "fan"]
    assert "sqlite:" not in results["monitors"].content[0].text
    assert [item["id"] for item in answers["incidents"]["items"]] == [item["id"] for item in listed]
    assert answers["later"]["items"] == []
    assert answers["incident"]["incident"]["causes"][0]["feature"] == "pressure"
    assert int(answers["incident"]["most_anomalous_records"][0]["record_key"]) in FAULTS
    assert answers["anomalies"]["total"] == answers["incident"]["incident"]["records"]
    problems = plant.plumbline("doctor", "pump", "--json").json["problems"]
    assert [problem["advice"] for problem in answers["diagnosis"]["problems"]] == [item["advice"] for item in problems]
    forecast = plant.must("forecast", "pump", "--json").json
    assert {name: answers["forecast"][name] for name in ("flagged", "by_rate")} == {
        name: forecast[name] for name in ("flagged", "by_rate")
    }
    errors = {name: result.content[0].text for name, result in results.items() if result.is_error}
    assert "There is no monitor 'pmup' in the configuration. Its monitors: pump." in errors["unknown"]
    assert "There is no incident 999" in errors["missing"]
    assert "less than or equal to 50" in errors["excess"]
    assert "less than or equal to 9223372036854775807" in errors["beyond"]


def test_a_configuration_that_is_not_valid_and_another_store_are_not_used(tmp_path, caplog):
    path = tmp_path / "config.toml"
    path.write_text(ANOTHER)
    app = App(path)
    newest = NewestConfig(app)
    before = app.config
    for text in ("[monitors", '[store]\nurl = "sqlite:///other.db"\n' + ANOTHER):
        path.write_text(text)
        newest.refresh()
        assert app.config is before
    assert [message.count("stays in force") for message in caplog.messages] == [1, 1]
    path.write_text(ANOTHER.replace("fan", "pump"))
    newest.refresh()
    assert list(app.config.monitors) == ["pump"]


def test_a_signal_ends_the_server_at_once(workspace):
    workspace.must("init")
    workspace.must("migrate")
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    with workspace.start("mcp", stdin=subprocess.PIPE) as process:
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "plumbline"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 1


def test_without_the_package_an_error_names_it(workspace, monkeypatch):
    workspace.must("init")
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    monkeypatch.delitem(sys.modules, "jobs.mcp.server", raising=False)
    result = workspace.plumbline("mcp")
    assert (result.code, "pip install 'plumbline[mcp]'" in result.err) == (2, True), result.err


def test_the_package_is_imported_by_its_command_only(workspace):
    workspace.must("init")
    workspace.must("migrate")
    assert modules_after(workspace.folder, "status") & {"mcp", "starlette", "httpx"} == set()


def test_long_texts_and_lists_are_cut_visibly():
    cut = bounded({"name": "x" * 10_000, "items": list(range(1_000)), "kept": [1, None]})
    assert cut["name"] == "x" * MAX_TEXT_LENGTH + " (and so on)"
    assert (len(cut["items"]), cut["items"][-1]) == (MAX_ITEMS + 1, f"({1_000 - MAX_ITEMS} more)")
    assert cut["kept"] == [1, None]
