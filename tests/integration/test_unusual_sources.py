"""Views, replicas that lag and tables with row-level security are watched like any table."""

from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from jobs.databases import open_engine, writing
from jobs.reading.source import Source
from schemas.config import MonitorConfig
from tests.standby import following
from tests.watched_table import MonitoredTable

ROLE = "plumbline_of_one_pump"


class ReadElsewhere(MonitoredTable):
    """A monitor that reads its table over another address than that of the store."""

    def __init__(self, store, engine):
        super().__init__(store)
        self.engine = engine

    def source(self, monitor="pump"):
        given = {name: value for name, value in self.settings.items() if value is not None or name == "score_every"}
        return Source(monitor, MonitorConfig(**given), self.engine)


@contextmanager
def reading_at(url, store):
    engine = open_engine(SecretStr(url.render_as_string(hide_password=False)))
    try:
        yield ReadElsewhere(store, engine)
    finally:
        engine.dispose()


def run(engine, *statements):
    with writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_a_view_is_scored_and_its_changes_are_detected(store):
    pump = MonitoredTable(store)
    columns = "id, read_at, changed_at, pump, flow * 2 AS flow"
    run(store.engine, f"CREATE VIEW seen AS SELECT {columns} FROM readings WHERE id < 90")
    pump.settings["table"] = "seen"
    pump.put(*range(10, 120, 10), value=1.6)  # twice of which is above the threshold
    pump.score()
    assert pump.flagged() == [str(key) for key in range(10, 90, 10)]
    pump.correct(40, value=1.0)
    pump.remove(50)
    pump.put(55, value=1.0)
    pump.wait(hours=1)  # past the next recount
    pump.score()
    assert pump.flagged() == ["10", "20", "30", "60", "70", "80"]
    assert sum(pump.ledger("records")) == 8


on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@on_postgresql
def test_a_replica_that_lags_delays_records_and_loses_none(store, postgres):
    with following(postgres) as standby:
        elsewhere = standby.url.set(database=store.engine.url.database)
        with reading_at(elsewhere, store) as pump:
            pump.put(10, 20, 30, value=9.0)
            standby.catch_up()
            assert pump.score().records == 3
            with standby.lagging():
                pump.put(15, 40, value=9.0)
                pump.correct(20, value=1.0)
                assert pump.score().records == 0
            pump.wait(hours=1)
            pump.score()
            assert pump.flagged() == ["10", "15", "30", "40"]
            assert sum(pump.ledger("records")) == 5


@on_postgresql
def test_records_that_row_level_security_reveals_later_are_late_ones(store):
    create = f"CREATE ROLE {ROLE} LOGIN"
    grant = f"GRANT SELECT ON readings TO {ROLE}"
    policy = "CREATE POLICY of_pump ON readings FOR SELECT USING (pump = 'pump-1')"
    with reading_at(store.engine.url.set(username=ROLE), store) as pump:
        run(store.engine, create, grant, "ALTER TABLE readings ENABLE ROW LEVEL SECURITY", policy)
        pump.put(10, 30, value=9.0)
        pump.put(20, 40, value=9.0, entity="pump-2")
        assert pump.score().records == 2
        run(store.engine, "ALTER POLICY of_pump ON readings USING (true)")
        pump.wait(hours=1)
        pump.score()
        assert (pump.flagged(), sum(pump.ledger("records"))) == (["10", "20", "30", "40"], 4)
    run(store.engine, f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")
