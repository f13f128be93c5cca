"""The documentation as a site: it builds without a warning, its recipes fit tables, and its commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.docs.errors import messages
from tests.integration.test_deploy_doc import commands_in, refuse_unknown
from tests.workspace import ROOT, Workspace

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
GUIDES = ("index", "quickstart", "choosing", "recipes", "operating", "faq", "glossary", "python", "comparison")
START = "2026-01-22"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built from a copy of the folder, and the warnings of the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", DOCS, folder]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_builds_without_a_warning_and_holds_every_page(site):
    pages = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert {path.stem for path in PAGES} | {"reference/errors", "reference/options", "reference/tables"} <= pages
    python = (site / "python.html").read_text(encoding="utf-8")
    assert "detector.estimator.VAEDetector.p_value" in python
    assert "docs/reference/" in (ROOT / ".gitignore").read_text(encoding="utf-8")


def test_pages_load_nothing_from_other_hosts(site):
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', (site / "index.html").read_text())
    assert loaded == []


def test_the_index_of_errors_holds_the_message_that_a_command_prints(site, tmp_path):
    result = Workspace(tmp_path).plumbline("init", "--source", "nosuch://host/db", "--table", "readings")
    found = "is not a supported kind of database. Use, for example, postgresql or sqlite."
    assert found in result.err
    assert found in (site / "reference" / "errors.html").read_text(encoding="utf-8")
    assert len({text for _, text in messages()}) > 200


def test_the_list_for_language_models_names_every_page():
    listed = set(re.findall(r"\]\(([\w/]+)\.md\)", (DOCS / "llms.txt").read_text(encoding="utf-8")))
    assert {path.stem for path in PAGES} - {"index"} <= listed
    navigated = set(re.findall(r"^([\w/]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == navigated


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_has_one_sentence_on_a_line_and_commands_that_exist(name):
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```|`[^`\n]+`|^\|.*$|^[-\d] .*$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"[^.\n]*[a-z)]\. [A-Z][^\n]*", prose) == []
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    for words in commands_in("\n".join([shell, *re.findall(r"`(plumbline [a-z][^`\n]*)`", text)])):
        refuse_unknown(words)


def sensors():
    times = pd.date_range(START, periods=2_800, freq="5min", tz="UTC")
    frames = [pd.DataFrame({"read_at": times, "machine": machine, "is_running": True}) for machine in ("a", "b")]
    return pd.concat(frames).sort_values("read_at"), "readings", ("temperature", "vibration", "current")


def payments():
    frame = pd.DataFrame({"paid_at": pd.date_range(START, periods=1_500, freq="7min", tz="UTC"), "is_fraud": 0})
    frame["country"], frame["method"] = np.resize(["de", "fr", "it"], 1_500), np.resize(["card", "invoice"], 1_500)
    return frame, "payments", ("amount", "items")


def logs():
    frame = pd.DataFrame({"at": pd.date_range(START, periods=9_000, freq="20s", tz="UTC")})
    frame["host"], frame["status"] = np.resize(["a", "b"], len(frame)), np.resize([200, 200, 200, 404, 500], len(frame))
    return frame, "requests", ("bytes",)


def quality():
    frame = pd.DataFrame({"measured_at": pd.date_range(START, periods=800, freq="1min", tz="UTC"), "passed": 1})
    frame["line"], frame["material"] = np.resize(["1", "2"], 800), np.resize(["steel", "brass", "steel"], 800)
    return frame, "inspections", ("width_mm", "height_mm", "weight_g")


RECIPES = {recipe.__name__: recipe for recipe in (sensors, payments, logs, quality)}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_fits_a_table_like_it(name, tmp_path):
    frame, table, numbers = RECIPES[name]()
    rng = np.random.default_rng(0)
    for number in numbers:
        frame[number] = 50 + rng.normal(size=len(frame)).round(3)
    frame.to_csv(tmp_path / "table.csv", index=False)
    recipe = re.findall(r"```toml\n(.*?)```", (DOCS / "recipes.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "config.toml").write_text(recipe[list(RECIPES).index(name)], encoding="utf-8")
    workspace = Workspace(tmp_path)
    workspace.must("import", "table.csv", "--table", table)
    findings = workspace.must("check", name, "--json").json
    assert {finding["level"] for finding in findings[name]} <= {"ok", "warning"}


def test_the_quickstart_reaches_its_first_check(tmp_path):
    """The commands from `train` on are those of the main path."""
    frame, _, _ = quality()
    frame["width_mm"] = np.random.default_rng(0).normal(size=len(frame))
    frame.to_csv(tmp_path / "readings.csv", index=False)
    shell = re.findall(r"```sh\n(.*?)```", (DOCS / "quickstart.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    workspace = Workspace(tmp_path)
    for words in commands_in(shell):
        if words[0] == "train":
            break
        workspace.must(*words)
    assert Path(tmp_path / "plumbline.db").exists()
