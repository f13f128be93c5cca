"""Commands start quickly: they import only the libraries that they need."""

import re
from pathlib import Path

import pytest

from jobs import cli
from tests.workspace import ROOT, start_python

SHOW_MODULES = "import sys; from jobs import cli; code = cli.run(sys.argv[1:]); print(code, *sys.modules)"


def modules_after(folder, *arguments):
    process = start_python("-c", SHOW_MODULES, *arguments, cwd=folder)
    out, err = process.communicate()
    code, *modules = out.splitlines()[-1].split()
    assert code == "0", err
    return set(modules)


WITHOUT = (
    "import sys; from jobs import cli; sys.modules.update(dict.fromkeys(cli._NOT_IN_WORKERS)); "
    "sys.exit(cli.run(sys.argv[1:]))"
)


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("score", "--help")])
def test_help_imports_neither_pandas_nor_sqlalchemy(workspace, arguments):
    modules = modules_after(workspace.folder, *arguments)
    assert modules & {"keras", "tensorflow", "numpy", "pandas", "sqlalchemy", "pydantic", "rich", "holidays"} == set()


@pytest.mark.parametrize("arguments", [("status",), ("anomalies", "list"), ("models", "list")])
def test_reading_the_store_imports_no_model_library(workspace, arguments):
    workspace.must("init")
    workspace.must("migrate")
    modules = modules_after(workspace.folder, *arguments)
    assert "sqlalchemy" in modules
    assert modules & {"keras", "tensorflow", "sklearn", "scipy", "pandas", "pyarrow", "alembic", "holidays"} == set()


@pytest.mark.parametrize("command", ["forecast", "evaluate", "sample"])
def test_scoring_imports_no_framework(plant, command):
    modules = modules_after(plant.folder, command, "pump")
    assert "detector.records.model" in modules
    assert modules & {"keras", "tensorflow", "jax", "torch", "matplotlib"} == set()


def test_a_score_of_few_records_imports_neither_compiled_code_nor_what_only_series_and_trainings_need(plant):
    columns = "read_at, pump, flow, pressure, is_open, mode, is_fault"
    plant.query(f"INSERT INTO pump_readings (id, {columns}) SELECT 2000, {columns} FROM pump_readings WHERE id = 840")
    modules = modules_after(plant.folder, "score", "pump")
    assert {"detector.records.model", "detector.core.numpy_kernels"} <= modules
    assert modules & {"numba", "llvmlite", "scipy", "sklearn", "detector.series.model", "alembic", "jinja2"} == set()


def test_a_worker_needs_no_library_of_trainings_and_names_what_other_commands_lack(plant):
    for words, code, said in [
        (("rescore", "pump", "--from", "2020-01-01", "--to", "2030-01-01"), 0, ""),
        (("evaluate", "pump"), 1, "This command needs the package 'sklearn', which is not installed"),
        (("train", "pump"), 1, "'keras', which is not installed"),
    ]:
        process = start_python("-c", WITHOUT, *words, cwd=plant.folder)
        _, err = process.communicate()
        assert (process.returncode, said in err) == (code, True), err


INTERRUPTED_IN_GENERATED_CODE = """
import os, signal, time
from jobs import cli

def wait(*_, **__):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

cli.cli.main = lambda *_, **__: exec("wait()", {"wait": wait})
cli.main([])
"""


def test_an_interrupted_command_exits_with_1_wherever_the_interrupt_came(tmp_path):
    (tmp_path / "interrupted.py").write_text(INTERRUPTED_IN_GENERATED_CODE)
    process = start_python("-m", "interrupted", cwd=tmp_path)
    _, err = process.communicate()
    assert process.returncode == 1
    assert "Interrupted" in err


def test_the_program_runs_as_a_module(workspace):
    process = workspace.start("--help")
    out, err = process.communicate()
    assert (process.returncode, err, out.splitlines()[0]) == (0, "", "Usage: plumbline [OPTIONS] COMMAND [ARGS]...")


@pytest.mark.parametrize("command", list(cli._COMMANDS))
def test_every_command_has_a_help_text(workspace, command):
    shown = workspace.must(command, "--help").out
    assert f"Usage: plumbline {command}" in shown
    group = cli.cli.get_command(None, command)
    for name in getattr(group, "commands", ()):
        assert f"Usage: plumbline {command} {name}" in workspace.must(command, name, "--help").out


def test_every_command_is_documented():
    pages = [ROOT / "README.md", *Path(ROOT / "docs").glob("*.md")]
    named = re.compile(
        r"plumbline ((?:(?:models|monitors|anomalies|incidents|entities|alerts|keys|tune|maintenance) )?[a-z]+)"
    )
    documented = set(named.findall(" ".join(page.read_text() for page in pages)))
    subcommands = {name: getattr(cli.cli.get_command(None, name), "commands", None) for name in cli._COMMANDS}
    commands = {f"{name} {sub}" for name, subs in subcommands.items() for sub in subs or ()}
    commands |= {name for name, subs in subcommands.items() if not subs}
    assert commands - documented == set()
