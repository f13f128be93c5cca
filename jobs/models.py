"""Trained models in the store: one champion per monitor, challengers, and retired ones."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from jobs.databases import reading, writing
from schemas.errors import StoreError, UsageError
from schemas.tables import models


@dataclass(frozen=True)
class StoredModel:
    """A trained model without its artifact, which may be large."""

    id: int
    monitor: str
    state: str
    created_at: datetime
    promoted_at: datetime | None
    retired_at: datetime | None
    sha256: str
    manifest: Mapping[str, Any]
    card: Mapping[str, Any]


@dataclass(frozen=True)
class Champion:
    """The model that scores a monitor's records."""

    model_id: int
    monitor: str
    sha256: str
    created_at: datetime
    promoted_at: datetime


@dataclass(frozen=True)
class NewModel:
    """A model to be stored: its artifact, the artifact's digest, and what is known about it."""

    blob: bytes
    sha256: str
    manifest: Mapping[str, Any]
    card: Mapping[str, Any]


_STORED = [models.c[field.name] for field in fields(StoredModel)]


class Models:
    """The models of every monitor.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add_model(self, monitor: str, model: NewModel, at: datetime, *, promote: bool) -> int:
        """Store a model, as champion in place of the old one or as challenger; its id."""
        row = {
            "monitor": monitor,
            "state": "challenger",
            "created_at": at,
            "artifact": model.blob,
            "sha256": model.sha256,
            "manifest": model.manifest,
            "card": model.card,
        }
        with writing(self.engine) as connection:
            model_id = int(connection.execute(insert(models).values(row).returning(models.c.id)).scalar_one())
            if promote:
                _promote(connection, monitor, model_id, at)
        return model_id

    def champion(self, monitor: str) -> Champion | None:
        """The monitor's champion; None before the first promotion."""
        c = models.c
        wanted = select(c.id.label("model_id"), c.monitor, c.sha256, c.created_at, c.promoted_at)
        with reading(self.engine) as connection:
            row = connection.execute(wanted.where(c.monitor == monitor, c.state == "champion")).mappings().first()
        return None if row is None else Champion(**row)

    def model_blob(self, model_id: int) -> bytes:
        """A model's artifact."""
        with reading(self.engine) as connection:
            blob = connection.scalar(select(models.c.artifact).where(models.c.id == model_id))
        if blob is None:
            raise _no_model(model_id)
        return bytes(blob)

    def models(self, monitor: str | None = None) -> list[StoredModel]:
        """The models of a monitor, or of all, newest first."""
        wanted = select(*_STORED).order_by(models.c.id.desc())
        if monitor is not None:
            wanted = wanted.where(models.c.monitor == monitor)
        with reading(self.engine) as connection:
            return [StoredModel(**row) for row in connection.execute(wanted).mappings()]

    def model(self, model_id: int) -> StoredModel:
        """One model."""
        with reading(self.engine) as connection:
            return _model(connection, model_id)

    def promote(self, model_id: int, at: datetime) -> None:
        """Make a model its monitor's champion, and retire the old one."""
        with writing(self.engine) as connection:
            model = _model(connection, model_id)
            if model.state != "champion":
                _promote(connection, model.monitor, model_id, at)

    def roll_back(self, monitor: str, at: datetime) -> int:
        """Make the champion before this one champion again, a step further back each time; its id.

        Raises:
            StoreError: where there was none before.
        """
        c = models.c
        of_monitor = select(c.id, c.promoted_at).where(c.monitor == monitor)
        with writing(self.engine) as connection:
            now = connection.execute(of_monitor.where(c.state == "champion")).first()
            if now is None:
                raise StoreError(_nothing_before(monitor))
            earlier = of_monitor.where(c.promoted_at < now.promoted_at, c.state == "retired")
            previous = connection.execute(earlier.order_by(c.promoted_at.desc(), c.id.desc()).limit(1)).first()
            if previous is None:
                raise StoreError(_nothing_before(monitor))
            # Its first promotion stays on record, so that the next step goes further back, not forth.
            _promote(connection, monitor, previous.id, at, promoted_at=previous.promoted_at)
        return int(previous.id)


def _promote(
    connection: Connection, monitor: str, model_id: int, at: datetime, *, promoted_at: datetime | None = None
) -> None:
    is_champion = (models.c.monitor == monitor) & (models.c.state == "champion")
    connection.execute(update(models).where(is_champion).values(state="retired", retired_at=at))
    change = {"state": "champion", "promoted_at": promoted_at or at, "retired_at": None}
    connection.execute(update(models).where(models.c.id == model_id).values(change))


def _model(connection: Connection, model_id: int) -> StoredModel:
    row = connection.execute(select(*_STORED).where(models.c.id == model_id)).mappings().first()
    if row is None:
        raise _no_model(model_id)
    return StoredModel(**row)


def _no_model(model_id: int) -> UsageError:
    return UsageError(f"There is no model {model_id}. List the models with: plumbline models list")


def _nothing_before(monitor: str) -> str:
    return (
        f"Monitor {monitor!r} has no earlier champion to roll back to. "
        f"Its models are listed by: plumbline models list {monitor}"
    )
