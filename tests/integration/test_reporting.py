"""Views and reports of a monitor, read from its table and the store, on each database."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from html.parser import HTMLParser

import anyio
import pytest
from sqlalchemy import func, insert, select

from jobs.api.pages.incident_picture import Look, incident_picture, picture_version
from jobs.api.pages.slow_work import ResultCache
from jobs.databases import reading, writing
from jobs.pictures.values import DailyRates
from jobs.reading.windows import Window
from jobs.reporting.page import render_report
from jobs.reporting.report import read_report
from jobs.reporting.selection import Selection
from jobs.reporting.views import ViewReader
from jobs.store import IncidentQuery, NewEvent
from schemas.errors import NoChampion, UsageError
from schemas.tables import metadata
from tests import watched_table
from tests.machines import START as MACHINES_START
from tests.watched_table import HOSTILE, NAMES, MonitoredTable, at

MINUTE = timedelta(minutes=1)
MARKUP = "<script>alert('1')</script>\x1b[2J"
MODEL = replace(watched_table.MODEL, manifest={"about": {}, "config": {}, "columns": []})


@pytest.fixture
def monitored(store, monkeypatch):
    """Return a function that makes a monitored table of 40 records, the last two of which are flagged."""
    monkeypatch.setattr(watched_table, "MODEL", MODEL)
    sources = []

    def make(names=NAMES, pump="pump-1", **settings):
        table = MonitoredTable(store, names, **settings)
        table.put(*range(1, 39), entity=pump)
        table.put(39, 40, value=9.0, entity=pump)
        table.wait(hours=1)
        table.score()
        sources.append(table.source())
        return ViewReader(sources[-1], store, table.load)

    yield make
    for source in sources:
        source.close()


@dataclass
class Service:
    """The part of a service that draws pictures; counts how often the table is opened."""

    reader: ViewReader
    opened: int = 0

    @property
    def store(self):
        return self.reader.store

    @contextmanager
    def open_source(self, monitor):
        assert monitor == self.reader.source.name
        self.opened += 1
        yield self.reader.source

    def settings(self, _monitor):
        return self.reader.source.monitor

    def scorer_for(self, _monitor):
        return self.reader.champion.model_id, self.reader.scorer


class Tags(HTMLParser):
    """The tags and the addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in {"href", "src", "xlink:href", "action"}]


def row_counts(store):
    with reading(store.engine) as connection:
        return {t.name: connection.scalar(select(func.count()).select_from(t)) for t in metadata.sorted_tables}


def test_single_records_are_shown_by_their_scores_and_the_distributions_of_the_causes(monitored, store):
    reader = monitored()
    before = row_counts(store)
    view = reader.of_selection(Selection())
    assert (view.records, sum(view.scores.is_flagged), view.channels) == (40, 2, ())
    assert view.scores.times == [at(key) for key in range(1, 41)]
    (distribution,) = view.distributions
    assert (distribution.name, len(distribution.values)) == ("flow", 38)
    assert [(mark.value, mark.expected) for mark in distribution.marks] == [(9.0, 0.0)] * 2
    (incident,) = store.incidents.page(IncidentQuery(monitor="pump"))
    assert reader.of_incident(incident).incidents[0].name == str(incident.id)
    assert row_counts(store) == before


def test_a_view_has_maintenance_other_champions_and_labels(monitored, store):
    windows = [{"start": at(3), "end": at(5)}, {"start": at(50), "end": at(60)}]
    reader = monitored(maintenance=windows)
    (incident,) = store.incidents.page(IncidentQuery(monitor="pump"))
    store.incidents.label(incident.id, "confirmed", at(60))
    store.events.add(NewEvent("promoted", "Model 1 is the champion.", "pump"), at(7))
    assert [(item.kind, item.text, item.start, item.end) for item in reader.of_incident(incident).annotations] == [
        ("maintenance", "maintenance", at(3), at(5)),
        ("model", "Model 1 is the champion.", at(7), at(7)),
        ("label", "2 flagged records labelled confirmed", at(39), at(40)),
    ]


def test_a_picture_is_drawn_again_once_a_record_is_labelled(monitored, store):
    service = Service(monitored())
    (incident,) = store.incidents.page(IncidentQuery(monitor="pump"))
    before = picture_version(service, incident)
    assert picture_version(service, incident) == before
    store.incidents.label(incident.id, "confirmed", at(60), "user ada")
    assert picture_version(service, incident) != before


def test_the_page_of_an_incident_keeps_its_pictures(monitored, store):
    service = Service(monitored())
    (incident,) = store.incidents.page(IncidentQuery(monitor="pump"))

    async def draw():
        pictures, light = ResultCache(2), Look("light")
        first, again = [await incident_picture(pictures, service, incident, light) for _ in range(2)]
        dark = Look("dark", is_narrow=True)
        return first, again, service.opened, await incident_picture(pictures, service, incident, dark)

    first, again, opened, other = anyio.run(draw)
    assert b"<svg" in first
    assert (again is first, opened, other != first) == (True, 1, True)


def test_a_range_of_time_and_an_entity_select_records(monitored):
    reader = monitored(pump=" 7")
    late = reader.of_selection(Selection(since=at(30), until=at(35)))
    assert late.scores.times == [at(key) for key in range(30, 36)]
    assert reader.of_selection(Selection(entity=" 7")).records == 40
    with pytest.raises(UsageError, match="no such records"):
        reader.of_selection(Selection(entity="7"))
    with pytest.raises(UsageError, match="no feature 'flwo'. The nearest is 'flow'"):
        reader.of_selection(Selection(features=("flwo",)))
    with pytest.raises(UsageError, match="Swap the two"):
        reader.of_selection(Selection(since=at(2), until=at(1)))


def test_a_monitor_without_times_and_entities_has_views_and_a_report(monitored, store):
    reader = monitored(time=None, entity=None, updated=None)
    view = reader.of_selection(Selection())
    assert (view.scores.times, sum(view.scores.is_flagged)) == (None, 2)
    (incident,) = store.incidents.page(IncidentQuery(monitor="pump"))
    assert reader.of_incident(incident).distributions
    report = read_report(reader, at(60))
    assert (report.rate.since, report.rate.flagged, report.incidents[0].problem) == (None, 2, None)
    with pytest.raises(UsageError, match="no column of times"):
        reader.of_selection(Selection(since=at(1)))
    with pytest.raises(UsageError, match="no column of entities"):
        reader.of_selection(Selection(entity="a"))


def test_hostile_names_and_values_stay_text_in_a_report(monitored):
    reader = monitored(HOSTILE, pump=MARKUP, units={HOSTILE["value"]: "</style><b>"})
    text = render_report(read_report(reader, at(60)))
    page = Tags(text)
    assert not page.tags & {"script", "b>", "img", "iframe", "object", "link"}
    assert all(address.startswith("#") for address in page.addresses)
    assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\\x1b[2J" in text
    assert "\x1b" not in text
    assert text.count("<style") == text.count("</style") == 1
    assert "@import" not in text
    assert "url(http" not in text


def test_a_report_without_incidents_and_one_without_a_table_are_made(monitored, store):
    reader = monitored()
    report = read_report(reader, at(60), max_incidents=0)
    assert report.incidents == []
    assert (report.rate.found, report.rate.asked) == (2 / 40, 0.01)
    watched = reader.source.table().records
    with store.engine.begin() as connection:
        connection.execute(watched_table.delete(watched))
    emptied = read_report(reader, at(60), max_incidents=0)
    assert emptied.recent is None
    text = render_report(replace(emptied, rate=replace(emptied.rate, daily=DailyRates([], [], [], None))))
    assert "has no such records" in text
    assert "There is no incident." in text


def test_a_monitor_without_a_model_gets_a_clear_error(monitored, store):
    source = monitored().source
    source.name = "other"
    with pytest.raises(NoChampion, match="plumbline train other"):
        ViewReader(source, store)


def test_a_series_is_shown_with_expected_values_and_a_band_that_a_fault_leaves(mixer, store):
    mixer.train(threshold="online")
    source = mixer.source(threshold="online", units={"speed": "rpm"})
    mixer.score_with(source, store)
    before = row_counts(store)
    reader = ViewReader(source, store)
    spike = MACHINES_START + 700 * MINUTE
    query = IncidentQuery(monitor="mixer", entity="a", since=spike, until=spike + MINUTE)
    (incident,) = store.incidents.page(query)
    view = reader.of_incident(incident)
    assert (view.entity, view.channels[0].name, view.channels[0].unit) == ("a", "speed", "rpm")
    at_spike = view.scores.times.index(spike)
    speed = view.channels[0]
    assert view.scores.is_flagged[at_spike]
    assert speed.measured[at_spike] > speed.high[at_spike] > speed.expected[at_spike]
    quiet = [row for row, time in enumerate(view.scores.times) if time < spike - 10 * MINUTE]
    inside = [speed.low[row] <= speed.measured[row] <= speed.high[row] for row in quiet]
    assert len(quiet) > 50
    assert sum(inside) > 0.95 * len(inside)
    flagged = zip(view.scores.scores, view.scores.thresholds, view.scores.is_flagged, strict=True)
    assert all(score > threshold for score, threshold, is_flagged in flagged if is_flagged)
    span = Selection(spike - 20 * MINUTE, spike, "b", ("torque", "is_open"))
    other = reader.of_selection(span)
    assert (other.entity, other.records, [c.name for c in other.channels]) == ("b", 21, ["torque", "is_open"])
    report = read_report(reader, MACHINES_START + timedelta(days=2), max_incidents=1)
    assert report.incidents[0].view.channels
    assert report.rate.since == MACHINES_START + 599 * MINUTE
    assert row_counts(store) == before


def test_records_of_no_entity_are_shown_with_their_flags_and_their_threshold(monitored):
    reader = monitored(pump=None, series={}, threshold="online")
    history, model_id = reader.store.history, reader.champion.model_id
    (newest, *_) = history.newest_batches("pump", at(0), 1)
    moved = {"model_id": model_id, "batch_id": newest.id, "state_before": {}, "state_after": {"threshold": 3.5}}
    with writing(reader.store.engine) as connection:
        connection.execute(insert(metadata.tables["trackers"]).values(moved | {"entity": ""}))
    view = reader.of_selection(Selection())
    assert (view.entity, view.scores.is_flagged[-3:]) == (None, [False, True, True])
    assert view.scores.thresholds[-3:] == [3.0, 3.0, 3.0]
    assert history.threshold_after("pump", model_id, "", at(40)) == 3.5


def test_a_window_of_a_grid_holds_its_cells(mixer):
    source = mixer.source(series={"resample": "5m"})
    start, end = MACHINES_START + 100 * MINUTE, MACHINES_START + 120 * MINUTE
    cells = source.read_window(Window(start, end, "a"), 100)
    assert cells["read_at"].tolist() == [start + 5 * n * MINUTE for n in range(5)]
    assert set(cells["machine"]) == {"a"}
    newest = source.read_window(Window(entity="b"), 4)
    assert newest["read_at"].tolist() == [MACHINES_START + (785 + 5 * n) * MINUTE for n in range(4)]
    first = source.read_window(Window(since=end, entity="a", from_start=True), 3)
    assert first["read_at"].tolist() == [end + 5 * n * MINUTE for n in range(3)]
    assert source.read_window(Window(since=MACHINES_START + timedelta(days=9)), 5).empty
