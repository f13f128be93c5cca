"""Keys of the API in the store, each as the digest of its secret."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from jobs.databases import reading, writing
from schemas.errors import UsageError
from schemas.tables import api_keys

Scope: TypeAlias = Literal["read", "write"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")


@dataclass(frozen=True)
class ApiKey:
    """A key: who has it, and what it may do."""

    id: int
    name: str
    scope: Scope
    created_at: datetime
    revoked_at: datetime | None
    sha256: str = field(repr=False)


class ApiKeys:
    """The API's keys.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add(self, name: str, scope: Scope, secret: str, at: datetime) -> int:
        """Store a key's digest, never its secret; its id.

        Raises:
            UsageError: where a key has that name, or it is no name.
        """
        if not _NAME.fullmatch(name):
            msg = f"{name!r} is no name of a key. Expected up to 64 letters, digits, spaces and . _ @ - in it."
            raise UsageError(msg)
        row = {"name": name, "scope": scope, "sha256": _digest(secret), "created_at": at}
        with writing(self.engine) as connection:
            try:
                with connection.begin_nested():
                    return int(connection.execute(insert(api_keys).values(row).returning(api_keys.c.id)).scalar_one())
            except IntegrityError:
                msg = f"There is a key named {name!r} already, maybe revoked. Choose another name."
                raise UsageError(msg) from None

    def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, oldest first."""
        wanted = select(*(api_keys.c[item.name] for item in fields(ApiKey))).order_by(api_keys.c.id)
        with reading(self.engine) as connection:
            return [ApiKey(**row) for row in connection.execute(wanted).mappings()]

    def revoke(self, name: str, at: datetime) -> None:
        """End a key; from now on it opens nothing."""
        c = api_keys.c
        with writing(self.engine) as connection:
            change = update(api_keys).where(c.name == name, c.revoked_at.is_(None)).values(revoked_at=at)
            if connection.execute(change).rowcount == 0:
                msg = f"There is no key {name!r} that is not revoked. List them with: plumbline keys list"
                raise UsageError(msg)


def holder(keys: Iterable[ApiKey], secret: str) -> ApiKey | None:
    """The key that a secret belongs to; None where it is none of them or revoked.

    A secret is 256 random bits, so that a plain digest keeps it; each is compared in constant time.
    """
    digest = _digest(secret)
    found = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    return next((key for key in found if key.revoked_at is None), None)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
