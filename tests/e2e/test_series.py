"""Two machines as series: a spike, a stuck sensor and a drift are one incident each with its cause; a gap is none."""

import numpy as np
import pytest
from sqlalchemy import text

from jobs.databases import open_engine
from schemas.config import load_config
from tests.machines import interleaved, machine
from tests.workspace import Workspace

MIXER = """\
table = "mixer"
key = "id"
time = "read_at"
entity = "machine"
numeric = ["torque", "speed", "load"]
boolean = ["is_open"]
normal = "id <= 3000"
label = "is_fault"
false_positive_rate = 0.005
incident_gap = "30m"
batch_size = 700
[monitors.mixer.series]
max_gap = "30m"
network = false
"""
FAULTS = {  # rows of a machine, and the channel behind it
    ("a", "speed"): range(1700, 1703),  # a spike
    ("b", "torque"): range(1650, 1690),  # a stuck sensor
    ("b", "load"): range(1850, 1950),  # a drift
}
GAP = range(1800, 1830)  # of machine a


def readings():
    machines = {"a": machine("a", 2000, 0), "b": machine("b", 2000, 1)}
    a, b = machines.values()
    a.loc[FAULTS["a", "speed"], "speed"] += 9
    b.loc[FAULTS["b", "torque"], "torque"] = b.loc[FAULTS["b", "torque"][0], "torque"]
    b.loc[FAULTS["b", "load"], "load"] += np.linspace(0, 6, 100)
    for (name, _), rows in FAULTS.items():
        machines[name].loc[rows, "is_fault"] = 1
    return interleaved(a.drop(GAP), b)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def plant(request, tmp_path_factory):
    """A workspace with a table that is imported, indexed, trained on and scored; the tests do not change it."""
    folder = tmp_path_factory.mktemp("mixer")
    if request.param == "sqlite":
        yield fill(Workspace(folder), "sqlite:///plumbline.db")
        return
    with request.getfixturevalue("empty_database")() as url:
        yield fill(Workspace(folder), url.get_secret_value())


def fill(workspace, url):
    readings().to_csv(workspace.folder / "mixer.csv", index=False)
    (workspace.folder / "config.toml").write_text(f'[store]\nurl = "{url}"\n[monitors.mixer]\n{MIXER}', "utf-8")
    for command in ("migrate", "import mixer.csv --table mixer"):
        workspace.must(*command.split())
    finding = workspace.must("check", "--json").json["mixer"][0]
    create_index = finding["message"].partition("Create one: ")[2]
    engine = open_engine(load_config(workspace.folder / "config.toml", {}).store.url)
    with engine.begin() as connection:
        connection.execute(text(create_index))
    engine.dispose()
    for command in ("train", "score"):
        workspace.must(command, "mixer")
    return workspace


def incidents(plant, entity, rows):
    """Return the incidents of a machine that contain some of its rows."""
    times = [time.isoformat() for time in machine(entity, 2000, 0)["read_at"].iloc[[rows[0], rows[-1]]]]
    listed = plant.must("incidents", "list", "mixer", "--entity", entity, "--limit", 100, "--json").json
    return [item for item in listed if item["start_time"] <= times[1] and item["end_time"] >= times[0]]


@pytest.mark.parametrize(("fault", "rows"), FAULTS.items(), ids=["spike", "stuck", "drift"])
def test_a_fault_is_one_incident_with_its_channel_as_the_cause(plant, fault, rows):
    entity, channel = fault
    (incident,) = incidents(plant, entity, rows)
    assert incident["causes"][0]["feature"] == channel


def test_a_gap_in_time_is_no_incident(plant):
    assert incidents(plant, "a", range(GAP.start, GAP.stop + 60)) == []


def test_a_flagged_record_has_its_causes_with_the_expected_value(plant):
    spike = machine("a", 2000, 0)["read_at"].iloc[FAULTS["a", "speed"][0]].isoformat()
    listed = plant.must("anomalies", "list", "mixer", "--entity", "a", "--limit", 1000, "--json").json
    (flagged,) = [item for item in listed if item["record_time"] == spike]
    shown = plant.must("anomalies", "show", flagged["id"], "--json").json
    top = shown["attribution"][0]
    assert (top["feature"], top["deviation"] > 5) == ("speed", True)
    assert top["value"] - top["expected"] == pytest.approx(9, abs=0.5)
    assert sum(cause["share"] for cause in shown["attribution"]) == pytest.approx(shown["anomaly_score"])


def test_it_is_evaluated_and_forecast_without_changing_anything(plant):
    report = plant.must("evaluate", "mixer", "--json").json
    assert report["evaluation"]["auroc"] > 0.9
    forecast = plant.must("forecast", "mixer", "--json").json
    assert forecast["flagged"] == report["evaluation"]["flagged"]


def test_its_model_is_shown_with_its_machines(plant):
    assert "its own" in plant.must("models", "show", 1).out
    assert "## Entities" in plant.must("models", "show", 1, "--markdown").out
    assert "mixer" in plant.must("models", "list").out


def test_its_model_generates_no_records(plant):
    refused = plant.plumbline("sample", "mixer")
    assert refused.code == 2
    assert "learns series, and a series model cannot generate records" in refused.err
