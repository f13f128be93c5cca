"""A record that cannot be read holds back no other: it is reported, and scored once it is corrected."""

import pytest
from sqlalchemy import text

from jobs.databases import writing
from jobs.store.events import EventQuery
from jobs.training.training_set import read_training_set
from schemas.errors import RecordsError, SourceError
from schemas.tables import batches, unreadable_records
from tests.watched_table import HOSTILE, NAMES, MonitoredTable

HELD = ("holds ''", "holds 1e+400")
SPOIL = {"sqlite": "''", "postgresql": "1e400"}


class SpoiltTable(MonitoredTable):
    """Records of a few pumps, some of which hold a value that cannot be read."""

    def __init__(self, store, **options):
        super().__init__(store, **options)
        self.name = store.engine.dialect.name
        if self.name == "postgresql":
            table, value = (self._quoted(self.names[name]) for name in ("table", "value"))
            self.run(f"ALTER TABLE {table} ALTER COLUMN {value} TYPE numeric")

    def run(self, sql):
        with writing(self.store.engine) as connection:
            connection.execute(text(sql.replace(":", r"\:")))

    def _quoted(self, name):
        return '"' + name.replace('"', '""') + '"'

    def spoil(self, *keys):
        table, key, value = (self._quoted(self.names[name]) for name in ("table", "key", "value"))
        listed = ", ".join(map(str, keys))
        self.run(f"UPDATE {table} SET {value} = {SPOIL[self.name]} WHERE {key} IN ({listed})")

    def events(self):
        return self.store.events.page(EventQuery("pump", "unreadable"))

    def waiting(self):
        return self.rows(unreadable_records.c.record_key)


@pytest.fixture(params=[NAMES, HOSTILE], ids=["plain", "hostile"])
def pump(store, request):
    return SpoiltTable(store, names=request.param, batch_size=50, updated=None)


@pytest.fixture
def plain(store):
    return SpoiltTable(store, batch_size=50, updated=None)


def test_the_others_of_its_batch_are_scored_and_it_once_it_is_corrected(pump):
    pump.put(*range(1, 41), value=1.0)
    pump.put(41, value=9.0)
    pump.spoil(7, 23)
    report = pump.score()
    assert (report.records, report.anomalies, report.unreadable_records) == (39, 1, 2)
    named = {(event.counts["key"], event.counts["column"]) for event in pump.events()}
    assert named == {("7", pump.names["value"]), ("23", pump.names["value"])}
    assert all(event.counts["reason"].startswith(HELD) for event in pump.events())
    pump.wait(minutes=5)
    assert pump.score().batches == 0  # nothing changed, so nothing is reported again
    pump.correct(7, value=9.0)
    report = pump.score()
    assert (report.rescored, report.records, report.anomalies, report.late_records) == (1, 40, 2, 0)
    assert (pump.waiting(), len(pump.events())) == (["[23]"], 2)
    pump.remove(23)
    assert pump.score().rescored == 1
    assert pump.waiting() == []
    assert pump.rows(batches.c.late_records) == [0]


def test_the_status_names_them(plain):
    plain.put(*range(1, 11))
    plain.spoil(3)
    plain.score()
    overview = plain.store.overviews.get("pump", plain.now)
    assert overview.unreadable_records == 1
    assert overview.newest_unreadable[0].startswith("3 (flow holds ")


def test_a_batch_in_which_no_record_can_be_read_is_done(plain):
    plain.put(1, 2, 3)
    plain.spoil(1, 2, 3)
    report = plain.score()
    assert (report.batches, report.records, report.unreadable_records) == (1, 0, 3)
    plain.put(4)
    assert plain.score().records == 1


def test_a_column_that_holds_other_values_throughout_is_an_error(plain):
    plain.settings["batch_size"] = 500
    plain.put(*range(1, 161))
    plain.spoil(*range(1, 150))
    with pytest.raises(SourceError, match=r"'flow' of monitor 'pump' should hold .* key 1 holds"):
        plain.score()


def test_a_training_leaves_few_out_and_refuses_many(plain, now):
    plain.put(*range(1, 61))
    plain.spoil(11, 12)
    source, feedback = plain.source(), plain.store.feedback.read("pump")
    normal = read_training_set(source, feedback, now)
    assert len(normal.records) == 58
    ((reason, count),) = normal.left_out.items()
    assert count == 2
    assert reason.startswith("that cannot be read: 12 (flow holds ")
    plain.spoil(*range(20, 50))
    with pytest.raises(RecordsError, match=r"32 of 60 normal records cannot be read\. Column 'flow'"):
        read_training_set(source, feedback, now)
    source.close()


def test_text_that_is_not_utf8_holds_back_its_record_alone(plain):
    if plain.name != "sqlite":
        pytest.skip("PostgreSQL stores valid text only")
    plain.put(*range(1, 11))
    plain.run("UPDATE readings SET pump = CAST(X'ff31' AS TEXT) WHERE id = 4")
    report = plain.score()
    assert (report.records, report.unreadable_records) == (9, 1)
    (event,) = plain.events()
    assert (event.counts["key"], event.counts["column"]) == ("4", "pump")


def test_a_view_that_fails_on_a_record_holds_back_this_record_alone(plain):
    if plain.name != "postgresql":
        pytest.skip("SQLite divides by zero without an error")
    plain.put(*range(1, 41))
    plain.run("CREATE VIEW ratios AS SELECT id, read_at, changed_at, pump, 1 / (id - 5) AS flow FROM readings")
    plain.settings["table"] = "ratios"
    report = plain.score()
    assert (report.records, report.unreadable_records) == (39, 1)
    assert "division by zero" in plain.events()[0].message
