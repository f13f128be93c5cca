"""Editors and shells get what they complete configurations and commands with."""

import json

import click

from jobs.commands.options import monitor_names
from schemas.json_schema import config_json_schema
from tests.workspace import PUMP


def test_the_schema_of_configurations_is_written_and_written_again(workspace):
    shown = workspace.must("init", "--schema").out
    assert "if the first line of config.toml is: #:schema ./config.schema.json" in shown
    file = workspace.folder / "config.schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(json.dumps(config_json_schema()))
    workspace.must("init", "--schema", "config.schema.json")


def test_no_other_file_is_overwritten_by_the_schema(workspace):
    (workspace.folder / "notes.json").write_text("[1]")
    refused = workspace.plumbline("init", "--schema", "notes.json")
    assert (refused.code, "already exists, and is not such a schema" in refused.err) == (2, True)
    assert (workspace.folder / "notes.json").read_text() == "[1]"


def test_a_shell_completes_the_names_of_monitors(workspace):
    workspace.configure("sqlite:///plumbline.db", PUMP)
    context = click.Context(click.Command("train"))
    context.params["config_path"] = workspace.folder / "config.toml"
    assert [monitor_names(context, None, word) for word in ("", "pu", "x")] == [["pump"], ["pump"], []]
    context.params["config_path"] = workspace.folder / "none.toml"
    assert monitor_names(context, None, "") == []
