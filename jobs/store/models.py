"""Trained models in the store: one champion per monitor, challengers, and retired ones."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, and_, insert, null, select, update

from detector.core.about import About
from detector.core.comparison import ComparisonReport
from detector.core.model_card import ModelCard
from jobs.databases import reading, writing
from jobs.kinds import card_from_json
from jobs.store.events import NewEvent, write_event
from jobs.store.locking import lock_monitor
from jobs.store.requests import ClaimedRequest, serve_request
from schemas.errors import NoChampion, StoreError, UsageError
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
    card: ModelCard
    comparison: ComparisonReport | None
    """With the champion of its time: the numbers that decided, the decision and its reason."""

    @property
    def about(self) -> About:
        """The origin of the model."""
        return About.from_json(self.manifest.get("about", {}))


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
    """A model to be stored: its artifact, the artifact's digest, and what is known about it.

    Attributes:
        blob: the artifact.
        sha256: its digest.
        manifest: what was trained, and with what settings.
        card: the numbers of the model.
        card_markdown: the card for people.
        comparison: with the champion: the numbers that decided, the decision and its reason.
        beats: the champion that it may take the place of; any champion if None.
    """

    blob: bytes
    sha256: str
    manifest: Mapping[str, Any]
    card: ModelCard
    card_markdown: str | None = None
    comparison: ComparisonReport | None = None
    beats: int | None = None

    @property
    def is_promoted(self) -> bool:
        """Whether its comparison makes it the champion."""
        return self.comparison is not None and self.comparison.is_promoted

    @property
    def about(self) -> About:
        """The origin of the model."""
        return About.from_json(self.manifest.get("about", {}))


@dataclass(frozen=True)
class ServedRequest:
    """The request that a training serves.

    Attributes:
        request: None if a person waits for the training instead.
        channels: that are alerted if the model is refused.
    """

    request: ClaimedRequest | None = None
    channels: tuple[str, ...] = ()


NO_REQUEST = ServedRequest()
_STORED = [models.c[field.name] for field in fields(StoredModel)]


class Models:
    """The models of every monitor.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add(
        self, monitor: str, model: NewModel, at: datetime, *, promote: bool, serves: ServedRequest = NO_REQUEST
    ) -> int:
        """Store a model as champion in place of the old one or as challenger, and close its request; its id.

        Raises:
            LostRequest: where another worker has taken the request over; nothing is stored then.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            if promote and model.beats is not None and _champion_id(connection, monitor) != model.beats:
                promote, model = False, _left_behind(model)
            row = {**_row(model), "monitor": monitor, "state": "challenger", "created_at": at}
            model_id = int(connection.execute(insert(models).values(row).returning(models.c.id)).scalar_one())
            if promote:
                _promote(connection, monitor, model_id, at)
            if serves.request is not None:
                _serve(connection, model_id, model, at, serves)
        return model_id

    def champion(self, monitor: str) -> Champion | None:
        """The monitor's champion; None before the first promotion."""
        c = models.c
        wanted = select(c.id.label("model_id"), c.monitor, c.sha256, c.created_at, c.promoted_at)
        with reading(self.engine) as connection:
            row = connection.execute(wanted.where(c.monitor == monitor, c.state == "champion")).mappings().first()
        return None if row is None else Champion(**row)

    def require_champion(self, monitor: str) -> Champion:
        """The monitor's champion.

        Raises:
            NoChampion: where no model has been trained.
        """
        champion = self.champion(monitor)
        if champion is None:
            raise NoChampion(monitor)
        return champion

    def blob(self, model_id: int) -> bytes:
        """A model's artifact."""
        with reading(self.engine) as connection:
            blob = connection.scalar(select(models.c.artifact).where(models.c.id == model_id))
        if blob is None:
            raise _no_model(model_id)
        return bytes(blob)

    def card_markdown(self, model_id: int) -> str | None:
        """A model's card as its training wrote it; None of a model from before there were such cards."""
        with reading(self.engine) as connection:
            row = connection.execute(select(models.c.card_markdown).where(models.c.id == model_id)).first()
        if row is None:
            raise _no_model(model_id)
        return None if row.card_markdown is None else str(row.card_markdown)

    def all(self, monitor: str | None = None) -> list[StoredModel]:
        """The models of a monitor, or of all, newest first."""
        wanted = select(*_STORED).order_by(models.c.id.desc())
        if monitor is not None:
            wanted = wanted.where(models.c.monitor == monitor)
        with reading(self.engine) as connection:
            return [_stored_model(row) for row in connection.execute(wanted).mappings()]

    def get(self, model_id: int) -> StoredModel:
        """One model."""
        with reading(self.engine) as connection:
            return _model(connection, model_id)

    def promote(self, model_id: int, at: datetime, *, force: bool = False) -> None:
        """Make a model its monitor's champion, and retire the old one.

        Raises:
            UsageError: where its comparison speaks against it, unless that is forced.
        """
        with writing(self.engine) as connection:
            model = _model(connection, model_id)
            lock_monitor(connection, model.monitor)
            if not force and model.comparison is not None and model.comparison.is_refused:
                raise UsageError(_refusal(model))
            if _model(connection, model_id).state != "champion":
                _promote(connection, model.monitor, model_id, at)

    def roll_back(self, monitor: str, at: datetime) -> int:
        """Make the champion before this one champion again, a step further back each time; its id.

        The one that is rolled back counts as never promoted: a later step back does not lead to it.

        Raises:
            StoreError: where there was none before.
        """
        c = models.c
        of_monitor = select(c.id, c.promoted_at).where(c.monitor == monitor)
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            now = connection.execute(of_monitor.where(c.state == "champion")).first()
            if now is None:
                raise StoreError(_nothing_before(monitor))
            earlier = of_monitor.where(c.promoted_at < now.promoted_at, c.state == "retired")
            previous = connection.execute(earlier.order_by(c.promoted_at.desc(), c.id.desc()).limit(1)).first()
            if previous is None:
                raise StoreError(_nothing_before(monitor))
            connection.execute(update(models).where(c.id == now.id).values(promoted_at=None))
            # Its first promotion stays on record, so that the next step goes further back, not forth.
            _promote(connection, monitor, previous.id, at, promoted_at=previous.promoted_at)
        return int(previous.id)


def _serve(connection: Connection, model_id: int, model: NewModel, at: datetime, serves: ServedRequest) -> None:
    """Close a request with its outcome; a refused model is an event."""
    if serves.request is None:
        return
    report = model.comparison or ComparisonReport()
    serve_request(connection, serves.request, model_id, report.reason, at)
    if report.is_refused and not report.is_promoted:
        message = f"Model {model_id} of monitor {serves.request.monitor!r} was refused. {report.reason}"
        event = NewEvent("retrain_refused", message, serves.request.monitor, counts={"model_id": model_id})
        write_event(connection, event, at, serves.channels)


def _row(model: NewModel) -> dict[str, Any]:
    return {
        "artifact": model.blob,
        "sha256": model.sha256,
        "manifest": model.manifest,
        "card": model.card.to_json(),
        "card_markdown": model.card_markdown,
        "comparison": null() if model.comparison is None else model.comparison.to_json(),  # not the JSON value null
    }


def _champion_id(connection: Connection, monitor: str) -> int | None:
    c = models.c
    is_champion = and_(c.monitor == monitor, c.state == "champion")
    return connection.scalar(select(c.id).where(is_champion))


def _left_behind(model: NewModel) -> NewModel:
    """A model whose rival is no longer the champion: what was compared says nothing about the new one."""
    reason = f"Model {model.beats}, with which it was compared, stopped being the champion during the training."
    return replace(model, comparison=replace(model.comparison or ComparisonReport(), is_promoted=False, reason=reason))


def _promote(
    connection: Connection, monitor: str, model_id: int, at: datetime, *, promoted_at: datetime | None = None
) -> None:
    is_champion = (models.c.monitor == monitor) & (models.c.state == "champion")
    connection.execute(update(models).where(is_champion).values(state="retired", retired_at=at))
    change = {"state": "champion", "promoted_at": promoted_at or at, "retired_at": None}
    connection.execute(update(models).where(models.c.id == model_id).values(change))
    message = f"Model {model_id} is the champion of monitor {monitor!r}."
    write_event(connection, NewEvent("promoted", message, monitor, counts={"model_id": model_id}), at)


def _model(connection: Connection, model_id: int) -> StoredModel:
    row = connection.execute(select(*_STORED).where(models.c.id == model_id)).mappings().first()
    if row is None:
        raise _no_model(model_id)
    return _stored_model(row)


def _stored_model(row: RowMapping) -> StoredModel:
    comparison = row["comparison"]
    values = {
        "card": card_from_json(row["card"]),
        "comparison": None if comparison is None else ComparisonReport.from_json(comparison),
    }
    return StoredModel(**{**row, **values})


def _no_model(model_id: int) -> UsageError:
    return UsageError(f"There is no model {model_id}. List the models with: plumbline models list")


def _refusal(model: StoredModel) -> str:
    reason = "" if model.comparison is None else model.comparison.reason
    return (
        f"Model {model.id} was refused in its training. {reason} "
        f"Promote it all the same with: plumbline models promote {model.id} --force"
    )


def _nothing_before(monitor: str) -> str:
    return (
        f"Monitor {monitor!r} has no earlier champion to roll back to. "
        f"Its models are listed by: plumbline models list {monitor}"
    )
