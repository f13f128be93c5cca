"""Operators acknowledge, assign and comment incidents, in the API, the pages and the store."""

import re

import pytest
from sqlalchemy import delete

from jobs.databases import writing
from jobs.store import AuditQuery, NewNote
from jobs.store.api_keys import KeyRights
from jobs.store.incident_notes import handling_of
from schemas.errors import UsageError
from schemas.tables import api_keys, incident_notes
from tests.api_service import HOSTILE, NOW
from tests.page_client import post, sign_in, text, token_of


@pytest.fixture
def notes(service):
    """The notes of a store that later tests find empty."""
    yield service.store.incident_notes
    with writing(service.store.engine) as connection:
        connection.execute(delete(incident_notes))


@pytest.fixture
def session(service, client, request):
    """The session of a browser that signed in with a key of a scope."""
    service.store.api_keys.add("person", KeyRights(request.param), "p" * 20, NOW)
    yield sign_in(client, "p" * 20)[1]
    with writing(service.store.engine) as connection:
        connection.execute(delete(api_keys))


def test_notes_state_who_takes_care_of_an_incident(notes, service):
    added = (NewNote("assign", "Ada"), NewNote("acknowledge"), NewNote("assign", "Bob"), NewNote("comment", text="x"))
    for note in added:
        notes.add(1, note, NOW, "key person")
    handling = handling_of(notes.of(1))
    assert (handling.acknowledged_by, handling.acknowledged_at, handling.assignee) == ("key person", NOW, "Bob")
    assert notes.handling([1, 2]) == {1: handling}
    acts = service.store.audit.page(AuditQuery("pump", limit=4))
    assert [act.action for act in acts] == ["comment", "assign", "acknowledge", "assign"]


def test_an_incident_has_the_notes_of_those_merged_into_it(notes):
    notes.add(2, NewNote("comment", text="before the merge"), NOW, "key person")  # incident 2 is merged into 1
    assert [note.text for note in notes.of(1)] == ["before the merge"]
    notes.add(2, NewNote("acknowledge"), NOW, "key person")
    assert notes.handling([1]) == {1: handling_of(notes.of(1))}


@pytest.mark.parametrize(
    ("incident", "note", "message"),
    [
        (99, NewNote("acknowledge"), "no incident 99"),
        (1, NewNote("comment", text=""), "The comment is empty"),
        (1, NewNote("comment", text="x" * 2001), "more than 2,000 characters"),
        (1, NewNote("assign", "x" * 129), "more than 128 characters"),
    ],
)
def test_a_note_that_says_nothing_is_refused(notes, incident, note, message):
    with pytest.raises(UsageError, match=message):
        notes.add(incident, note, NOW, "key person")
    assert notes.of(1) == []


def test_the_page_of_an_incident_adds_notes_and_escapes_them(client, notes):
    token = token_of(text(client, "/page/incidents/1"))
    texts = ({"kind": "assign", "assignee": HOSTILE}, {"kind": "comment", "text": HOSTILE})
    for fields in ({"kind": "acknowledge"}, *texts):
        answer = post(client, "/page/incidents/1/notes", {**fields, "token": token})
        assert (answer.status, answer.headers["location"]) == (303, "/page/incidents/1")
    html = text(client, "/page/incidents/1")
    assert "Acknowledged by this machine" in html
    assert HOSTILE not in html
    assert len(notes.of(1)) == 3


def test_a_note_of_another_kind_is_refused(client, notes):
    token = token_of(text(client, "/page/incidents/1"))
    assert post(client, "/page/incidents/1/notes", {"kind": "delete", "token": token}).status == 422


def test_the_api_refuses_blank_texts(client, notes):
    for note in ({"kind": "comment", "text": " \n"}, {"kind": "assign", "assignee": "  "}):
        assert client.post("/incidents/1/notes", note).status == 422
    client.post("/incidents/1/notes", {"kind": "assign", "assignee": " Ada "})
    assert [note.assignee for note in notes.of(1)] == ["Ada"]


@pytest.mark.parametrize("session", ["read"], indirect=True)
def test_a_reader_sees_notes_and_adds_none(client, notes, session):
    notes.add(1, NewNote("comment", text="seen by all"), NOW, "key person")
    html = text(client, "/page/incidents/1", **session)
    assert "seen by all" in html
    assert "<textarea" not in html
    assert post(client, "/page/incidents/1/notes", {"kind": "acknowledge"}, **session).status == 403


@pytest.mark.parametrize(
    ("session", "status"), [("read", 403), ("operate", 403), ("write", 303), ("admin", 303)], indirect=["session"]
)
def test_who_may_promote(client, service, session, status):
    html = text(client, "/page/incidents/1", **session)
    token = token_of(html) if 'name="token"' in html else ""
    assert post(client, "/page/models/1/promote", {"token": token}, **session).status == status


@pytest.mark.parametrize("session", ["admin"], indirect=True)
def test_a_roll_back_without_an_earlier_champion_is_a_conflict(client, session):
    token = token_of(text(client, "/page/incidents/1", **session))
    answer = post(client, "/page/monitors/pump/models/roll-back", {"token": token}, **session)
    assert answer.status == 409
    assert "no earlier champion to roll back to. Promote one of its models" in answer.body.decode()


@pytest.mark.parametrize("session", ["operate"], indirect=True)
def test_an_operator_labels_and_the_api_has_the_notes(client, notes, session):
    key = {"Authorization": f"Bearer {'p' * 20}"}
    assert client.post("/anomalies/2/label", {"label": "open"}, **key).status == 200
    answer = client.post("/incidents/1/notes", {"kind": "comment", "text": "pump replaced"}, **key)
    assert [(note["actor"], note["text"]) for note in answer.json] == [("key person", "pump replaced")]
    assert client.get("/incidents/1/notes", **key).json == answer.json


def test_the_page_lists_alarms_like_this(client):
    html = text(client, "/page/incidents/1")
    assert not re.search("Alarms like this", html)  # the only other incident is merged
