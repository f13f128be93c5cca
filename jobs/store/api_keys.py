"""Keys of the API, each stored as the digest of its secret."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, get_args

from sqlalchemy import Engine, select, update
from sqlalchemy.exc import IntegrityError

from jobs.databases import reading, writing
from jobs.store.audit import SERVICE, Act, record_act
from jobs.store.numbering import insert_numbered
from jobs.store.paging import columns_of
from schemas.errors import UsageError
from schemas.tables import api_keys

Scope: TypeAlias = Literal["read", "operate", "write", "admin"]
"""read: see everything; operate: label, acknowledge, maintain; admin: promote, tune and manage keys too.

write is that of earlier versions: it operates and promotes.
"""
SCOPES: tuple[Scope, ...] = get_args(Scope)

_USE_STEP = timedelta(minutes=1)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}")


@dataclass(frozen=True)
class ApiKey:
    """A key: its holder and its rights."""

    id: int
    name: str
    scope: Scope
    created_at: datetime
    revoked_at: datetime | None
    monitors: Sequence[str] | None
    """The only monitors that it may see; None for all."""
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""
    sha256: str = field(repr=False)

    def is_valid(self, at: datetime) -> bool:
        """Return whether requests with it are accepted."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


@dataclass(frozen=True)
class KeyRights:
    """The rights of a new key."""

    scope: Scope = "read"
    monitors: Sequence[str] | None = None
    expires_at: datetime | None = None


class ApiKeys:
    """The keys of the API.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add(self, name: str, rights: KeyRights | Scope, secret: str, at: datetime, actor: str = SERVICE) -> int:
        """Store the digest of a key, never its secret, and return its id.

        Raises:
            UsageError: If the name is not valid, or a key has it already.
        """
        if not _NAME.fullmatch(name):
            msg = f"{name!r} is not a valid key name. Use up to 64 letters, digits, spaces and . _ @ - in it."
            raise UsageError(msg)
        given = rights if isinstance(rights, KeyRights) else KeyRights(rights)
        monitors = None if given.monitors is None else sorted(set(given.monitors))
        row = {"name": name, **vars(given), "monitors": monitors, "sha256": _digest(secret), "created_at": at}
        with writing(self.engine) as connection:
            try:
                with connection.begin_nested():
                    key_id = insert_numbered(connection, api_keys, row)
            except IntegrityError:
                msg = f"There is a key named {name!r} already, maybe revoked. Choose another name."
                raise UsageError(msg) from None
            record_act(connection, Act(actor, "add key", f"key {name}", detail={"scope": given.scope}), at)
        return key_id

    def note_use(self, key: ApiKey, at: datetime) -> None:
        """Record when a key was used last, at most once a minute."""
        if key.last_used_at is None or at - key.last_used_at >= _USE_STEP:
            with writing(self.engine) as connection:
                connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(last_used_at=at))

    def all(self) -> list[ApiKey]:
        """Return every key, oldest first, including the revoked ones."""
        statement = select(*columns_of(api_keys, ApiKey)).order_by(api_keys.c.id)
        with reading(self.engine) as connection:
            return [ApiKey(**row) for row in connection.execute(statement).mappings()]

    def revoke(self, name: str, at: datetime, actor: str = SERVICE) -> None:
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
            record_act(connection, Act(actor, "revoke key", f"key {name}"), at)


def holder(keys: Iterable[ApiKey], secret: str, at: datetime) -> ApiKey | None:
    """Return the key that a secret belongs to, or None if it belongs to none, or to a revoked or expired key.

    A secret is 256 random bits, so a plain digest protects it. Digests are compared in constant time.
    """
    digest = _digest(secret)
    matching = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    return next((key for key in matching if key.is_valid(at)), None)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
