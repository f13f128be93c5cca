"""`plumbline demo`: its output, its files, and other commands in its folder."""

import re

import pytest

from tests.workspace import ROOT, Workspace

CONFIG = ("--config", "demo/config.toml")
FAULTS = (
    "stuck flow meter", "glitch", "bearing wear", "stopped energy meter", "pressure surge", "no start", "leak",
    "blocked intake",
)  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A workspace with files of an earlier demo in its folder `demo`, and the output of a new demo there."""
    workspace = Workspace(tmp_path_factory.mktemp("demo"))
    folder = workspace.folder / "demo"
    folder.mkdir()
    (folder / "config.toml").write_bytes((ROOT / "config.toml").read_bytes())
    (folder / "plumbline.db").write_text("an earlier demo's", encoding="utf-8")
    (folder / "old.png").touch()
    return workspace, workspace.must("demo").out


def number(text):
    return int(text.replace(",", ""))


def test_it_reports_its_steps_and_the_detected_faults(ran):
    _, out = ran
    scored, flagged = (
        int(number.replace(",", "")) for number in re.findall(r"scored (\S+) .+ flagged (\S+)\.", out)[0]
    )
    assert f"Imported {scored:,} records into the table pump_readings." in out
    assert 0 < flagged < scored / 50  # most of them in the faults
    for fault in FAULTS:
        assert re.search(rf"{fault.split()[0]}.+ found after", out)
    assert re.search(r"gap +pump-2 .+ 0 +0 +no fault, not", out)
    assert re.search(r"weekend +booster .+ 0 +no fault, not", out)
    assert "Found 8 of 8 faults." in out
    assert re.search(r"vibration_mm_s ↑.+ bearing wear", out)


def test_its_false_alarms_match_the_configured_rate(ran):
    _, out = ran
    flagged, normal = (number(text) for text in re.search(r"Flagged (\S+) of (\S+) normal records", out).groups())
    echoes = number(re.search(r"(\S+) of them belong to incidents of the faults", out).group(1))
    assert normal > 10_000
    assert flagged - echoes < 2 * 0.001 * normal


def test_it_writes_its_files_and_deletes_those_of_an_earlier_demo(ran):
    workspace, out = ran
    pictures = {path.name for path in (workspace.folder / "demo").glob("*.png")}
    assert pictures == {"pump.png", "breast_cancer.png"}
    assert all(f"Picture: demo/{name}" in out for name in pictures)


def test_other_commands_work_in_its_folder(ran):
    workspace, _ = ran
    assert "No index" not in workspace.must("check", *CONFIG).out
    assert re.search(r"pump +model 1", workspace.must("status", *CONFIG).out)
    incidents = workspace.must("incidents", "list", "pump", "--limit", 100, "--json", *CONFIG).json
    assert ("pump-1", "vibration_mm_s") in {(incident["entity"], incident["top_feature"]) for incident in incidents}
    anomalies = workspace.must("anomalies", "list", "pump", *CONFIG, "--json").json
    ratios = [row["threshold_ratio"] for row in anomalies]
    assert ratios == sorted(ratios, reverse=True)
    assert anomalies[0]["severity"] > 50
    assert "pump-2" in workspace.must("models", "show", 1, *CONFIG).out
    assert "Scored 0 new records" in workspace.must("score", "pump", *CONFIG).out


def test_a_folder_with_other_files_is_left_alone(ran):
    workspace, _ = ran
    (workspace.folder / "mine").mkdir()
    (workspace.folder / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    refused = workspace.plumbline("demo", "--into", "mine")
    assert refused.code == 2
    assert "holds files that are not the demo's. Choose another folder" in refused.err
    assert [path.name for path in (workspace.folder / "mine").iterdir()] == ["notes.txt"]
