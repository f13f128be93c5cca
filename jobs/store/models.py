"""Trained models: one champion per monitor, challengers, and retired models."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, and_, func, null, select, update

from detector.core.about import About, Pace
from detector.core.comparison import ComparisonReport
from detector.core.model_card import ModelCard
from jobs.databases import reading, writing
from jobs.store.artifacts import read_artifact, split_artifact, write_parts
from jobs.store.audit import SERVICE, Act, record_act
from jobs.store.events import EventLog, NewEvent
from jobs.store.locking import lock_monitor
from jobs.store.numbering import insert_numbered
from jobs.store.paging import columns_of
from jobs.store.requests import ClaimedRequest, serve_request
from schemas.errors import NoChampion, NoEarlierChampion, UsageError
from schemas.tables import models

CardReader = Callable[[Mapping[str, Any]], ModelCard]
"""Reads the JSON of a card."""


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
    pruned_at: datetime | None = None
    """When its artifact was deleted; such a model cannot score again."""

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
    """A trained model, before it has a row.

    Attributes:
        blob: the artifact.
        sha256: its digest.
        manifest: the settings of the training.
        card: the numbers of the model.
        card_markdown: the model card as text.
        comparison: the comparison with the champion that decided about its promotion.
        beats: the only champion that it may replace; None for any.
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


class Models:
    """The models of every monitor.

    Args:
        engine: of the store's database.
        event_log: writes events.
        read_card: reads the JSON of a model card.
    """

    def __init__(self, engine: Engine, event_log: EventLog, read_card: CardReader) -> None:
        self.engine = engine
        self._event_log, self._read_card = event_log, read_card

    def add(
        self, monitor: str, model: NewModel, at: datetime, *, promote: bool, serves: ServedRequest = NO_REQUEST
    ) -> int:
        """Store a model as champion or challenger, close its request, and return the model's id.

        Raises:
            LostRequest: If another worker has claimed the request; nothing is stored then.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            if promote and model.beats is not None and _champion_id(connection, monitor) != model.beats:
                promote, model = False, _outdated(model)
            row = {**_row(model), "monitor": monitor, "state": "challenger", "created_at": at}
            first, *rest = split_artifact(connection, model.blob)
            model_id = insert_numbered(connection, models, row | {"artifact": first})
            write_parts(connection, model_id, rest)
            if promote:
                self._promote(connection, monitor, model_id, at)
            if serves.request is not None:
                self._serve(connection, model_id, model, at, serves)
        return model_id

    def champion(self, monitor: str) -> Champion | None:
        """Return the monitor's champion, or None before the first promotion."""
        c = models.c
        columns = (c.id.label("model_id"), c.monitor, c.sha256, c.created_at, c.promoted_at)
        statement = select(*columns).where(c.monitor == monitor, c.state == "champion")
        with reading(self.engine) as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else Champion(**row)

    def require_champion(self, monitor: str) -> Champion:
        """Return the monitor's champion.

        Raises:
            NoChampion: If no model has been trained.
        """
        champion = self.champion(monitor)
        if champion is None:
            raise NoChampion(monitor)
        return champion

    def blob(self, model_id: int) -> bytes:
        """Return a model's artifact.

        Raises:
            UsageError: If there is no such model.
        """
        with reading(self.engine) as connection:
            blob = read_artifact(connection, model_id)
        if blob is None:
            raise no_model(model_id)
        return blob

    def newest_challengers(self, monitors: Collection[str]) -> dict[str, int]:
        """Return the id of the newest challenger of each monitor that has one."""
        c = models.c
        newest = select(c.monitor, func.max(c.id)).where(c.monitor.in_(monitors), c.state == "challenger")
        with reading(self.engine) as connection:
            rows = connection.execute(newest.group_by(c.monitor)).all()
        return {monitor: int(model_id) for monitor, model_id in rows}

    def columns(self, model_id: int) -> Mapping[str, Any]:
        """Return the entries of a model's manifest that name what it learned; those that it lacks are None."""
        names = ("features", "columns", "numeric", "boolean")
        entries = (models.c.manifest[name].label(name) for name in names)
        with reading(self.engine) as connection:
            row = connection.execute(select(*entries).where(models.c.id == model_id)).mappings().first()
        return {} if row is None else dict(row)

    def pace(self, model_id: int) -> Pace | None:
        """Return the pace of a model's training records; None if the model does not record it."""
        entry = select(models.c.manifest[("about", "pace")]).where(models.c.id == model_id)
        with reading(self.engine) as connection:
            pace = connection.scalar(entry)
        return None if pace is None else Pace(**pace)

    def card_markdown(self, model_id: int) -> str | None:
        """Return a model's card as text, or None if the model is older than such cards.

        Raises:
            UsageError: If there is no such model.
        """
        with reading(self.engine) as connection:
            row = connection.execute(select(models.c.card_markdown).where(models.c.id == model_id)).first()
        if row is None:
            raise no_model(model_id)
        return None if row.card_markdown is None else str(row.card_markdown)

    def all(self, monitor: str | None = None) -> list[StoredModel]:
        """Return the models of one monitor, or of all monitors, newest first."""
        statement = select(*columns_of(models, StoredModel)).order_by(models.c.id.desc())
        if monitor is not None:
            statement = statement.where(models.c.monitor == monitor)
        with reading(self.engine) as connection:
            return [self._stored_model(row) for row in connection.execute(statement).mappings()]

    def get(self, model_id: int) -> StoredModel:
        """Return one model.

        Raises:
            UsageError: If there is no such model.
        """
        with reading(self.engine) as connection:
            return self._model(connection, model_id)

    def promote(
        self, model_id: int, at: datetime, *, force: bool = False, actor: str = SERVICE, copy_of: int | None = None
    ) -> None:
        """Make a model its monitor's champion, and retire the old one.

        Args:
            model_id: of the model.
            at: the time now.
            force: whether the comparison with the champion is overruled.
            actor: who promotes it.
            copy_of: the model that it is a copy of, for the audit log; None if it was trained for its monitor.

        Raises:
            UsageError: If there is no such model, its artifact was deleted, or it was refused in its training; `force`
                promotes the last of them.
        """
        with writing(self.engine) as connection:
            model = self._model(connection, model_id)
            lock_monitor(connection, model.monitor)
            if self._model(connection, model_id).pruned_at is not None:
                raise UsageError(_pruned(model))
            if not force and model.comparison is not None and model.comparison.is_refused:
                raise UsageError(_refusal(model))
            if self._model(connection, model_id).state != "champion":
                self._promote(connection, model.monitor, model_id, at)
                detail = {"force": force} if copy_of is None else {"force": force, "copy_of": copy_of}
                record_act(connection, Act(actor, "promote", f"model {model_id}", model.monitor, detail), at)

    def roll_back(self, monitor: str, at: datetime, actor: str = SERVICE) -> int:
        """Make the previous champion champion again, and return its id; each call goes one step further back.

        The present champion then counts as never promoted, so that no later step leads to it.

        Raises:
            NoEarlierChampion: If there was no previous champion.
        """
        c = models.c
        of_monitor = select(c.id, c.promoted_at).where(c.monitor == monitor)
        with writing(self.engine) as connection:
            lock_monitor(connection, monitor)
            champion = connection.execute(of_monitor.where(c.state == "champion")).first()
            if champion is None:
                raise NoEarlierChampion(monitor)
            earlier = of_monitor.where(
                c.promoted_at < champion.promoted_at, c.state == "retired", c.pruned_at.is_(None)
            )
            previous = connection.execute(earlier.order_by(c.promoted_at.desc(), c.id.desc()).limit(1)).first()
            if previous is None:
                raise NoEarlierChampion(monitor)
            connection.execute(update(models).where(c.id == champion.id).values(promoted_at=None))
            # It keeps the time of its first promotion, so that the next step goes further back.
            self._promote(connection, monitor, previous.id, at, promoted_at=previous.promoted_at)
            detail = {"from": champion.id}
            record_act(connection, Act(actor, "roll back", f"model {previous.id}", monitor, detail), at)
        return int(previous.id)

    def _model(self, connection: Connection, model_id: int) -> StoredModel:
        statement = select(*columns_of(models, StoredModel)).where(models.c.id == model_id)
        row = connection.execute(statement).mappings().first()
        if row is None:
            raise no_model(model_id)
        return self._stored_model(row)

    def _stored_model(self, row: RowMapping) -> StoredModel:
        comparison = row["comparison"]
        values = {
            "card": self._read_card(row["card"]),
            "comparison": None if comparison is None else ComparisonReport.from_json(comparison),
        }
        return StoredModel(**{**row, **values})

    def _serve(
        self, connection: Connection, model_id: int, model: NewModel, at: datetime, serves: ServedRequest
    ) -> None:
        """Close a request, and alert channels if its model was refused."""
        if serves.request is None:
            return
        report, monitor = model.comparison or ComparisonReport(), serves.request.monitor
        serve_request(connection, serves.request, model_id, report.reason, at)
        if report.is_refused and not report.is_promoted:
            message = f"Model {model_id} of monitor {monitor!r} was refused. {report.reason}"
            event = NewEvent("retrain_refused", message, monitor, counts={"model_id": model_id})
            self._event_log.write(connection, event, at, serves.channels)

    def _promote(
        self, connection: Connection, monitor: str, model_id: int, at: datetime, *, promoted_at: datetime | None = None
    ) -> None:
        is_champion = (models.c.monitor == monitor) & (models.c.state == "champion")
        connection.execute(update(models).where(is_champion).values(state="retired", retired_at=at))
        change = {"state": "champion", "promoted_at": promoted_at or at, "retired_at": None}
        connection.execute(update(models).where(models.c.id == model_id).values(change))
        message = f"Model {model_id} is the champion of monitor {monitor!r}."
        self._event_log.write(connection, NewEvent("promoted", message, monitor, counts={"model_id": model_id}), at)


def _row(model: NewModel) -> dict[str, Any]:
    return {
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


def _outdated(model: NewModel) -> NewModel:
    """Return a model that is not promoted, as the champion that it was compared with has been replaced."""
    reason = f"Model {model.beats}, with which it was compared, stopped being the champion during the training."
    return replace(model, comparison=replace(model.comparison or ComparisonReport(), is_promoted=False, reason=reason))


def no_model(model_id: int) -> UsageError:
    """Return the error for a model that does not exist, or that a caller may not see."""
    return UsageError(f"There is no model {model_id}. List the models with: plumbline models list")


def _refusal(model: StoredModel) -> str:
    reason = "" if model.comparison is None else model.comparison.reason
    return (
        f"Model {model.id} was refused in its training. {reason} "
        f"Promote it nevertheless with: plumbline models promote {model.id} --force"
    )


def _pruned(model: StoredModel) -> str:
    return (
        f"The artifact of model {model.id} was deleted, as `store.keep_models` newer ones were retired. "
        f"Train monitor {model.monitor!r} again: plumbline train {model.monitor}"
    )
