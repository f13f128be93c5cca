"""Routes of API keys: list, add, revoke; and the test of a channel."""

import secrets
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from pydantic import BaseModel, Field

from jobs.alerting import send_test
from jobs.api.dependencies import MANAGES, MANAGES_WITHOUT_BODY, CallerOf, Service
from jobs.api.parameters import Body, Text
from jobs.api.problems import documented
from jobs.api.service_view import ServiceView
from jobs.store.api_keys import ApiKey, KeyRights, Scope
from schemas.errors import AlertError, ConfigError, UsageError

router = APIRouter()

_MAX_DAYS = 36_525
KeyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$", max_length=64)]


class Key(BaseModel):
    """A key, without its secret."""

    id: int
    name: str
    scope: Scope
    monitors: list[str] | None = Field(description="The only monitors that it may see; null for all.")
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class KeyToAdd(Body):
    """A key to create."""

    name: KeyName
    scope: Scope = "read"
    monitors: Annotated[list[Text], Field(min_length=1, max_length=1000)] | None = None
    """The only monitors that it may see; null for all."""
    days: Annotated[int, Field(ge=1, le=_MAX_DAYS)] | None = None
    """How long it is valid; null for ever."""


class NewKey(BaseModel):
    """A created key with its secret, which is not shown again."""

    id: int
    name: str
    scope: Scope
    key: str


class TestOrder(Body):
    """An empty object: a test needs nothing else."""


class ChannelTest(BaseModel):
    """A test message that a channel accepted."""

    channel: str
    sent: bool


def create_key(service: ServiceView, sent: KeyToAdd, actor: str) -> NewKey:
    """Create a key.

    Raises:
        NoSuchMonitor: If the configuration has no such monitor.
        HTTPException: If a key has the name already.
    """
    for monitor in sent.monitors or ():
        service.config.monitor(monitor)
    at, secret = service.clock(), secrets.token_urlsafe(32)
    expires_at = None if sent.days is None else at + timedelta(days=sent.days)
    try:
        key_id = service.store.api_keys.add(
            sent.name, KeyRights(sent.scope, sent.monitors, expires_at), secret, at, actor
        )
    except UsageError as exc:
        raise HTTPException(409, str(exc)) from exc
    return NewKey(id=key_id, name=sent.name, scope=sent.scope, key=secret)


def try_channel(service: ServiceView, channel: str) -> None:
    """Send a test message to a channel.

    Raises:
        HTTPException: If there is no such channel, or it does not accept the message.
    """
    try:
        send_test(service.config.alerts.channels, channel, service.clock())
    except (ConfigError, AlertError) as exc:
        status = 404 if channel not in service.config.alerts.channels else 409
        raise HTTPException(status, str(exc)) from exc


@router.get("/keys", dependencies=MANAGES_WITHOUT_BODY, responses=documented(403, 422))
def list_keys(service: Service) -> list[Key]:
    """List the keys, oldest first, without their secrets."""
    return [Key.model_validate(key, from_attributes=True) for key in service.store.api_keys.all()]


@router.post("/keys", dependencies=MANAGES, responses=documented(400, 403, 404, 408, 409, 413, 415, 422))
def add_key(sent: KeyToAdd, service: Service, caller: CallerOf) -> NewKey:
    """Create a key; the response has its secret, which is not shown again."""
    return create_key(service, sent, caller.name)


@router.delete("/keys/{key_name}", dependencies=MANAGES_WITHOUT_BODY, responses=documented(403, 404, 422))
def revoke_key(key_name: Annotated[Text, Path()], service: Service, caller: CallerOf) -> Key:
    """Revoke a key: requests with it are refused from now on."""
    service.store.api_keys.revoke(key_name, service.clock(), caller.name)
    key: ApiKey = next(key for key in service.store.api_keys.all() if key.name == key_name)
    return Key.model_validate(key, from_attributes=True)


@router.post(
    "/channels/{channel}/test",
    dependencies=MANAGES,
    responses=documented(400, 403, 404, 408, 409, 413, 415, 422),
)
def send_test_message(channel: Annotated[Text, Path()], _order: TestOrder, service: Service) -> ChannelTest:
    """Send a test message to a channel of alerts."""
    try_channel(service, channel)
    return ChannelTest(channel=channel, sent=True)
