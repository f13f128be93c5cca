"""Two trainings at once, and migrations while others score, leave what each alone would leave."""

import threading
from concurrent.futures import ThreadPoolExecutor

from jobs.store import migrations
from tests.mariadb_server import on_mariadb_too
from tests.watched_table import MODEL, MonitoredTable


def test_two_trainings_at_once_leave_two_equal_models_and_one_champion(mixer):
    with ThreadPoolExecutor(2) as pool:
        for training in [pool.submit(mixer.train) for _ in range(2)]:
            training.result()
    models = mixer.store.models.all("mixer")
    assert sorted(model.state for model in models) == ["champion", "retired"]
    assert len({model.sha256 for model in models}) == 1


@on_mariadb_too
def test_models_that_are_added_at_once_leave_one_champion(store, now):
    start = threading.Barrier(4)

    def add(_number):
        start.wait()
        return store.models.add("pump", MODEL, now, promote=True)

    with ThreadPoolExecutor(4) as pool:
        added = set(pool.map(add, range(4)))
    states = [model.state for model in store.models.all("pump")]
    assert (len(added), sorted(states)) == (4, ["champion", *["retired"] * 3])


@on_mariadb_too
def test_a_store_is_migrated_while_records_are_scored(store):
    pump = MonitoredTable(store)
    pump.put(*range(1, 61))
    pump.put(61, value=9.0)
    is_over = threading.Event()

    def migrate():
        count = 0
        while not is_over.is_set():
            migrations.upgrade(store.engine)
            count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        migrated = pool.submit(migrate)
        try:
            assert pump.score().records == 61
        finally:
            is_over.set()
        assert migrated.result() > 0
    assert (pump.flagged(), migrations.is_current(store.engine)) == (["61"], True)
