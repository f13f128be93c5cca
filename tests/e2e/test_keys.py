"""The commands `keys add`, `list` and `revoke`."""

import json

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
    assert (holder(store.api_keys.all(), secret).name, holder(store.api_keys.all(), secret).scope) == ("board", "read")
    assert secret not in workspace.must("keys", "list").out + workspace.must("keys", "list", "--json").out


def test_a_key_is_listed_and_revoked(workspace, store):
    assert "There is no key" in workspace.must("keys", "list").out
    made = workspace.must("keys", "add", "person", "--scope", "write", "--json").json
    assert (made["name"], made["scope"], len(made["key"])) == ("person", "write", 43)
    assert workspace.must("keys", "revoke", "person").out == "Key 'person' is revoked.\n"
    (listed,) = json.loads(workspace.must("keys", "list", "--json").out)
    assert listed.keys() == {"name", "scope", "created_at", "revoked_at"}
    assert holder(store.api_keys.all(), made["key"]) is None
    assert workspace.plumbline("keys", "revoke", "person").code == 2
