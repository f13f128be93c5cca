"""Incidents in the store: filtered, labelled with their rows, ended by the clock."""

import pytest

from detector.records.card import RecordCard
from jobs.store import AnomalyQuery, AuditQuery, NewModel
from schemas.errors import UsageError
from tests.flagged_rows import GAP, MINUTE, RULE, START, FlaggedRows


@pytest.fixture
def rows(store, now):
    store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
    return FlaggedRows(store, "pump", now)


def test_an_incident_ends_by_the_clock_and_opens_again_when_it_grows(rows, now):
    rows.add(0)
    assert rows.store.incidents.follow_up("pump", RULE, START + GAP) == 0
    assert rows.store.incidents.follow_up("pump", RULE, START + GAP + MINUTE) == 1
    assert [incident.state for incident in rows.incidents()] == ["ended"]
    rows.change(rows.stored()[0], severity=60.0)
    assert [incident.state for incident in rows.incidents()] == ["ended"]
    rows.add(5)
    assert [incident.state for incident in rows.incidents()] == ["open"]
    assert rows.store.incidents.follow_up("boiler", RULE, now) == 0


def test_labelling_an_incident_labels_its_current_rows(rows, now):
    rows.add(0, 5, 10)
    rows.add(60)
    rows.change(rows.stored()[2], superseded_at=now)
    later, first = rows.incidents()
    assert rows.store.incidents.label(first.id, "confirmed", now) == 2
    assert [row["label"] for row in rows.stored()] == ["confirmed", "confirmed", "open", "open"]
    assert [i.id for i in rows.incidents(label="confirmed")] == [first.id]
    assert [i.id for i in rows.incidents(label="open")] == [later.id]


def test_an_unchanged_label_changes_nothing_and_is_not_audited(rows, now):
    rows.add(0, 5)
    (incident,), (first, _) = rows.incidents(), rows.stored()
    for minutes in range(2):
        rows.store.incidents.label(incident.id, "known", now + minutes * MINUTE, "key Ada")
        rows.store.anomalies.label(first["id"], "known", now + minutes * MINUTE, "key Ada")
    assert {row["labelled_at"] for row in rows.stored()} == {now}
    rows.store.anomalies.label(first["id"], "confirmed", now, "key Ada")
    rows.store.incidents.label(incident.id, "confirmed", now, "key Ada")
    acts = [(act.subject, act.detail["label"]) for act in reversed(rows.store.audit.page(AuditQuery("pump")))]
    whole, one = f"incident {incident.id}", f"anomaly {first['id']}"
    assert acts == [(whole, "known"), (one, "confirmed"), (whole, "confirmed")]


def test_an_incident_that_cannot_be_labelled_is_an_error(rows, now):
    rows.add(0)
    rows.add(30)
    rows.add(15)
    first, second = sorted(incident.id for incident in rows.incidents(is_current=None))
    with pytest.raises(UsageError, match=f"Incident {second} was merged into incident {first}. Label that incident."):
        rows.store.incidents.label(second, "known", now)
    for row in rows.stored():
        rows.change(row, superseded_at=now)
    with pytest.raises(UsageError, match=f"Incident {first} is withdrawn"):
        rows.store.incidents.label(first, "known", now)
    with pytest.raises(UsageError, match="Use one of: open, confirmed"):
        rows.store.incidents.label(first, "maybe", now)
    with pytest.raises(UsageError, match="There is no incident 999"):
        rows.store.incidents.label(999, "known", now)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"entity": "pump-2"}, [3]),
        ({"state": "ended"}, []),
        ({"since": START + 31 * MINUTE}, [3]),
        ({"until": START + 30 * MINUTE}, [1]),
        ({"limit": 2}, [3, 2]),
        ({"limit": 2, "before_id": 2}, [1]),
        ({"is_current": False}, []),
        ({"is_current": False, "state": "open"}, [3, 2, 1]),
    ],
)
def test_incidents_are_filtered_and_listed_newest_first(rows, filters, expected):
    rows.add(0)
    rows.add(30)
    rows.add(60, entity="pump-2")
    assert [incident.id for incident in rows.incidents(**filters)] == expected


def test_anomalies_have_their_incident_and_whether_they_are_muted(rows, now):
    rows.add(0, muted=True)
    rows.add(5)
    rows.add(60)
    (_, first) = rows.incidents()
    anomalies = rows.store.anomalies.page(AnomalyQuery(incident_id=first.id))
    assert [(row.incident_id, row.is_muted) for row in anomalies] == [(first.id, False), (first.id, True)]
    rows.change(rows.stored()[2], superseded_at=now)
    kinds = [len(rows.store.anomalies.page(AnomalyQuery(is_current=which))) for which in (True, False, None)]
    assert kinds == [2, 1, 3]
