"""Garbage is collected late while a process starts, and as usual afterwards."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

START = """
import gc
from jobs.start_up import START_UP_OBJECTS, postpone_collection

usual = gc.get_threshold()
for _ in range(2):
    postpone_collection()
collected = [generation["collections"] for generation in gc.get_stats()]
kept = [[] for _ in range(START_UP_OBJECTS // 2)]
assert [generation["collections"] for generation in gc.get_stats()] == collected
kept += [[] for _ in range(START_UP_OBJECTS)]
assert gc.get_threshold() == usual
assert sum(generation["collections"] for generation in gc.get_stats()) > sum(collected) + 50
"""


GARBAGE_AT_THE_END = """
import gc
from jobs.cli import main

class Circle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print("searched for garbage")

gc.disable()
Circle()
main(["--help"])
"""


def test_a_command_ends_without_a_search_for_garbage():
    ended = subprocess.run(
        [sys.executable, "-c", GARBAGE_AT_THE_END], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "Usage" in ended.stdout
    assert "searched" not in ended.stdout


def test_the_first_collection_waits_for_as_many_objects_as_a_start_creates():
    subprocess.run([sys.executable, "-c", START], cwd=ROOT, check=True)


def test_a_store_imports_the_parts_that_are_used():
    start = "import jobs.store, sys; jobs.store.StoredTuning, jobs.store.Store; "
    check = "assert 'jobs.store.ledger' not in sys.modules"
    subprocess.run([sys.executable, "-c", start + check], cwd=ROOT, check=True)


def test_compiled_code_is_loaded_without_scipy():
    start = "import sys, numpy; from detector.core.kernels import products; x = numpy.ones((2, 2), numpy.float32); "
    check = "products(x, x); assert 'scipy.linalg' not in sys.modules"
    subprocess.run([sys.executable, "-c", start + check], cwd=ROOT, check=True)
