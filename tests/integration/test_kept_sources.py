"""A worker keeps a source open between the tasks of a command, and closes it afterwards."""

import psutil
import pytest

from jobs.app import App
from jobs.execution.kept_sources import KeptSources
from tests.chaos.waiting import until
from tests.workspace import PUMP, Workspace, readings

IDLE_SECONDS = 0.2


@pytest.fixture
def app(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.configure("sqlite:///plumbline.db", f'source = "sqlite:///{tmp_path}/plant.db"\n{PUMP}', model="")
    readings(20).to_csv(tmp_path / "readings.csv", index=False)
    into = f"sqlite:///{tmp_path}/plant.db"
    workspace.must("import", "readings.csv", "--table", "pump_readings", "--into", into)
    with App.opened(tmp_path / "config.toml") as app:
        yield app


def open_files(app):
    """Return how often this process has the watched file open."""
    return sum(file.path == str(app.path.parent / "plant.db") for file in psutil.Process().open_files())


def borrow(app, sources, command="first", **changes):
    """Return a source after a task that read with it."""
    monitor = app.config.monitor("pump").model_copy(update=changes)
    with sources.borrowed(command, "pump", monitor) as source:
        assert source.next_range(None, 5, None) is not None
    return source


def test_tasks_of_a_command_share_a_source_and_those_of_another_do_not(app):
    sources = KeptSources(app)
    first = borrow(app, sources)
    assert borrow(app, sources) is first
    assert borrow(app, sources, batch_size=7) is not first
    second = borrow(app, sources, "second")
    with sources.borrowed("second", "pump", app.config.monitor("pump")) as source:
        assert source is second
        assert borrow(app, sources, "second") is not second
    assert open_files(app) == 1


def test_a_source_is_closed_when_it_is_idle_and_after_a_failure(app):
    sources = KeptSources(app, IDLE_SECONDS)
    first = borrow(app, sources)
    until(lambda: open_files(app) == 0, "the idle source is closed")
    assert borrow(app, sources) is not first
    with pytest.raises(OSError, match="gone"), sources.borrowed("first", "pump", app.config.monitor("pump")):
        raise OSError("gone")
    assert open_files(app) == 0
