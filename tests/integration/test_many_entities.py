"""Many entities that send live, with tracked thresholds: a batch costs the same however many came before."""

import gc
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import event

from jobs.databases import writing
from tests.machines import FEATURES, channels, machine
from tests.series_monitor import readings

ROUNDS = 3
GARBAGE_BYTES = 2**20  # that may wait for its collection
SETTINGS = {"threshold": "online", "series": {"models": "shared", "calendar": False}, "batch_size": 2_000}
# Two thousand entities take a minute of a processor.
ENTITIES = [50, pytest.param(2_000, marks=pytest.mark.slow)]


def next_round(number, entities):
    """Return one record of each entity, a minute after the round before."""
    values = channels(entities, seed=number)
    frame = pd.DataFrame(values, columns=list(FEATURES.names)).assign(is_fault=0)
    names = [f"e{entity}" for entity in range(entities)]
    at = machine("a", 900 + number, 0)["read_at"].iloc[-1]
    ids = len(readings()) + number * entities + np.arange(1, entities + 1)
    return frame.assign(is_open=frame["is_open"] > 0, read_at=at, machine=names, id=ids)


@pytest.fixture
def plant(mixer):
    """A monitor that has scored its history, with the index that `check` proposes."""
    with writing(mixer.store.engine) as connection:
        connection.exec_driver_sql("CREATE INDEX ix_past ON mixer (machine, id)")
    mixer.train(**SETTINGS)
    mixer.score(**SETTINGS)
    return mixer


def cost_of_a_round(plant, number, entities):
    """Score a round, and return the statements, the CPU seconds and the peak bytes of memory that it takes."""
    plant.fill(next_round(number, entities), if_exists="append")
    statements = []
    listener = ("before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    event.listen(plant.store.engine, *listener)
    gc.collect()  # so that garbage is collected at the same points of every round
    tracemalloc.start()
    start = time.process_time()
    assert plant.score(**SETTINGS).records == entities
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    event.remove(plant.store.engine, *listener)
    return len(statements), seconds, peak


@pytest.mark.parametrize("entities", ENTITIES)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_round_of_many_entities_costs_the_same_each_time(plant, entities):
    costs = [cost_of_a_round(plant, number, entities) for number in range(ROUNDS)]
    limits = ((1.1, 0), (3, 0), (1.3, GARBAGE_BYTES))
    for second, last, (factor, slack) in zip(costs[1], costs[-1], limits, strict=True):
        assert last < factor * second + slack, costs
