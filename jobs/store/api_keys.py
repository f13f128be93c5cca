"""Keys of the API, each stored as the digest of its secret."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Engine, select, update
from sqlalchemy.exc import IntegrityError

from jobs.databases import reading, writing
from jobs.store.numbering import insert_numbered
from jobs.store.paging import columns_of
from schemas.errors import UsageError
from schemas.tables import api_keys

Scope: TypeAlias = Literal["read", "write"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")


@dataclass(frozen=True)
class ApiKey:
    """A key: its holder and its rights."""

    id: int
    name: str
    scope: Scope
    created_at: datetime
    revoked_at: datetime | None
    sha256: str = field(repr=False)


class ApiKeys:
    """The keys of the API.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add(self, name: str, scope: Scope, secret: str, at: datetime) -> int:
        """Store the digest of a key, never its secret, and return its id.

        Raises:
            UsageError: If the name is not valid, or a key has it already.
        """
        if not _NAME.fullmatch(name):
            msg = f"{name!r} is not a valid key name. Use up to 64 letters, digits, spaces and . _ @ - in it."
            raise UsageError(msg)
        row = {"name": name, "scope": scope, "sha256": _digest(secret), "created_at": at}
        with writing(self.engine) as connection:
            try:
                with connection.begin_nested():
                    return insert_numbered(connection, api_keys, row)
            except IntegrityError:
                msg = f"There is a key named {name!r} already, maybe revoked. Choose another name."
                raise UsageError(msg) from None

    def all(self) -> list[ApiKey]:
        """Return every key, oldest first, including the revoked ones."""
        statement = select(*columns_of(api_keys, ApiKey)).order_by(api_keys.c.id)
        with reading(self.engine) as connection:
            return [ApiKey(**row) for row in connection.execute(statement).mappings()]

    def revoke(self, name: str, at: datetime) -> None:
        """Revoke a key; requests with it are refused from now on.

        Raises:
            UsageError: If there is no such key, or it is revoked already.
        """
        c = api_keys.c
        with writing(self.engine) as connection:
            change = update(api_keys).where(c.name == name, c.revoked_at.is_(None)).values(revoked_at=at)
            if connection.execute(change).rowcount == 0:
                msg = f"There is no key {name!r} that is not revoked. List them with: plumbline keys list"
                raise UsageError(msg)


def holder(keys: Iterable[ApiKey], secret: str) -> ApiKey | None:
    """Return the key that a secret belongs to, or None if it belongs to none or to a revoked key.

    A secret is 256 random bits, so a plain digest protects it. Digests are compared in constant time.
    """
    digest = _digest(secret)
    matching = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    return next((key for key in matching if key.revoked_at is None), None)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
