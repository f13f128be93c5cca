"""API keys: digests in the store, lookup by secret, unique names."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from jobs.databases import reading
from jobs.store.api_keys import KeyRights, holder
from schemas.errors import UsageError
from schemas.tables import api_keys


def test_the_store_holds_the_digest_and_not_the_secret(store, now):
    store.api_keys.add("board", "read", "s3cret", now)
    with reading(store.engine) as connection:
        (row,) = connection.execute(select(api_keys)).mappings().all()
    assert "s3cret" not in str(dict(row))
    assert len(row["sha256"]) == 64
    assert row["sha256"] not in repr(store.api_keys.all())


def test_a_secret_identifies_its_key_until_it_is_revoked(store, now):
    store.api_keys.add("board", "read", "one", now)
    store.api_keys.add("person", "write", "two", now)
    assert [holder(store.api_keys.all(), secret, now).name for secret in ("one", "two")] == ["board", "person"]
    assert [holder(store.api_keys.all(), secret, now) for secret in ("", "three", "ONE", "\udcff")] == [None] * 4
    store.api_keys.revoke("board", now)
    assert holder(store.api_keys.all(), "one", now) is None
    assert holder(store.api_keys.all(), "two", now).scope == "write"


def test_a_name_stays_unique_and_a_key_is_revoked_once(store, now):
    store.api_keys.add("board", "read", "one", now)
    store.api_keys.revoke("board", now)
    with pytest.raises(UsageError, match="There is a key named 'board' already"):
        store.api_keys.add("board", "read", "two", now)
    with pytest.raises(UsageError, match="There is no key 'board' that is not revoked"):
        store.api_keys.revoke("board", now)


@pytest.mark.parametrize("name", ["", " x", "a" * 65, "x\n", "x'; --", "\udcff"])
def test_an_invalid_name_is_refused(store, now, name):
    with pytest.raises(UsageError, match="is not a valid key name"):
        store.api_keys.add(name, "read", "one", now)


def test_a_key_expires_and_its_use_is_recorded_once_a_minute(store, now):
    minute = timedelta(minutes=1)
    store.api_keys.add("guest", KeyRights("read", ["pump"], now + 3 * minute), "one", now)
    assert holder(store.api_keys.all(), "one", now + 3 * minute) is None
    for at in (now, now + minute / 2, now + minute):
        key = holder(store.api_keys.all(), "one", at)
        store.api_keys.note_use(key, at)
    (key,) = store.api_keys.all()
    assert (key.monitors, key.last_used_at) == (["pump"], now + minute)
