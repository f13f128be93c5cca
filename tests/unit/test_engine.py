"""Executors by their names in the configuration; errors that cross processes."""

import sys

import dask
import pytest

from jobs.execution.engine import engine_of
from schemas.config import RuntimeConfig
from schemas.errors import ConfigError, NoSuchMonitor, RateTooSmall
from tests.process_pool import two_processes


def test_an_engine_is_configured_by_name():
    assert engine_of(RuntimeConfig()) is None
    assert engine_of(RuntimeConfig(executor="dask", scheduler="tcp://host:1")).name == "dask"
    assert engine_of(RuntimeConfig(executor="tests.process_pool:two_processes")).open is two_processes
    with dask.config.set({"scheduler-address": "tcp://host:1"}):
        assert engine_of(RuntimeConfig(executor="dask")).name == "dask"


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ({"executor": "dask"}, r"needs the address of a scheduler. Set `scheduler` there, .* DASK_SCHEDULER_ADDRESS"),
        ({"executor": "no.such:thing"}, r"'no.such:thing', which cannot be imported: No module .* on PYTHONPATH"),
        ({"executor": "tests.process_pool:three"}, r"cannot be imported: .* has no attribute 'three'"),
        ({"executor": "Dask"}, "String should match pattern"),
    ],
)
def test_a_wrong_executor_is_refused(runtime, message):
    with pytest.raises(ValueError if runtime["executor"] == "Dask" else ConfigError, match=message):
        engine_of(RuntimeConfig(**runtime))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"the package distributed. Install it: pip install 'plumbline\[dask\]'"):
        engine_of(RuntimeConfig(executor="dask", scheduler="tcp://host:1"))


@pytest.mark.parametrize("error", [NoSuchMonitor("pmup", ["pump"]), RateTooSmall(0.01, 20)])
def test_errors_cross_processes_with_their_text_and_facts(error):
    restore, arguments, *_ = error.__reduce__()  # Dask has another way of its own, once it is imported
    copied = restore(*arguments)
    assert (type(copied), str(copied), vars(copied)) == (type(error), str(error), vars(error))
