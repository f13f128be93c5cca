"""The commands `keys add`, `list` and `revoke`."""

import json
from datetime import UTC, datetime

import pytest

from jobs.app import open_store
from jobs.databases import open_engine
from jobs.store.api_keys import holder
from schemas.config import load_config


@pytest.fixture
def store(workspace):
    workspace.must("init")
    workspace.must("migrate")
    engine = open_engine(load_config(workspace.folder / "config.toml", {}).store.url)
    yield open_store(engine)
    engine.dispose()


def test_a_key_is_printed_once_and_has_its_scope(workspace, store):
    made = workspace.must("keys", "add", "board")
    secret = made.out.strip()
    assert len(secret) == 43
    assert "not shown again" in made.err
    key = holder(store.api_keys.all(), secret, datetime.now(UTC))
    assert (key.name, key.scope) == ("board", "read")
    assert secret not in workspace.must("keys", "list").out + workspace.must("keys", "list", "--json").out


def test_a_key_is_listed_and_revoked(workspace, store):
    assert "There is no key" in workspace.must("keys", "list").out
    made = workspace.must("keys", "add", "person", "--scope", "write", "--json").json
    assert (made["name"], made["scope"], len(made["key"])) == ("person", "write", 43)
    assert workspace.must("keys", "revoke", "person").out == "Key 'person' is revoked.\n"
    (listed,) = json.loads(workspace.must("keys", "list", "--json").out)
    times = {"created_at", "expires_at", "last_used_at", "revoked_at"}
    assert listed.keys() == {"name", "scope", "monitors"} | times
    assert holder(store.api_keys.all(), made["key"], datetime.now(UTC)) is None
    assert workspace.plumbline("keys", "revoke", "person").code == 2


def test_keys_are_for_monitors_of_the_configuration_and_the_audit_names_who_made_them(workspace, store):
    assert workspace.plumbline("keys", "add", "guest", "--monitor", "nothing").code == 2
    assert workspace.plumbline("keys", "add", "guest", "--expires", "soon").code == 2
    workspace.must("keys", "add", "guest", "--expires", "90d")
    (key,) = store.api_keys.all()
    assert (key.expires_at - key.created_at).days in {89, 90}
    (act,) = json.loads(workspace.must("audit", "--json").out)
    assert (act["action"], act["subject"], act["actor"].split()[0]) == ("add key", "key guest", "user")
    assert "key guest" in workspace.must("audit").out
