"""API keys: digests in the store, lookup by secret, unique names."""

import pytest
from sqlalchemy import select

from jobs.databases import reading
from jobs.store.api_keys import holder
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
    assert [holder(store.api_keys.all(), secret).name for secret in ("one", "two")] == ["board", "person"]
    assert [holder(store.api_keys.all(), secret) for secret in ("", "three", "ONE", "\udcff")] == [None] * 4
    store.api_keys.revoke("board", now)
    assert holder(store.api_keys.all(), "one") is None
    assert holder(store.api_keys.all(), "two").scope == "write"


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
