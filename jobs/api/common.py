"""What the parts of the API share: the service behind a request, types of parameters, pages."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, HTTPException, Path, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from jobs.api.state import State

_MAX_ID = 2**63 - 1  # of a database's integers
_FIRST_TIME, _LAST_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?)?")

Item = TypeVar("Item")


def parse_time(value: object) -> object:
    """A time from its text; without an offset it is in UTC, and one past the calendar is its end.

    >>> parse_time("2026-03-01T12:30:00+01:00").isoformat(), parse_time("2026-03-01").isoformat()
    ('2026-03-01T11:30:00+00:00', '2026-03-01T00:00:00+00:00')
    """
    if not isinstance(value, str):
        return value
    if not _ISO_TIME.fullmatch(value):
        msg = f"expected a time such as 2026-03-01T12:30:00Z, received {value!r}"
        raise ValueError(msg)
    time = datetime.fromisoformat(value.upper())
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return _FIRST_TIME if time.year == 1 else _LAST_TIME


def _service(request: Request) -> State:
    state: State = request.app.state.service
    return state


def known_monitor(service: "Service", name: Annotated[str, Path(description="The monitor's name.")]) -> str:
    """The name of a monitor that the configuration has."""
    service.config.monitor(name)
    return name


def sends_json(request: Request) -> None:
    """Refuse a body that a form of another site could have sent."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "Send JSON, with the header `Content-Type: application/json`.")


def may_write(request: Request) -> None:
    """Refuse who may only read."""
    if not request.state.may_write:
        raise HTTPException(403, "This key may only read. Make another: plumbline keys add NAME --scope write")


Service = Annotated[State, Depends(_service)]
MonitorName = Annotated[str, Depends(known_monitor)]
CHANGES = [Depends(may_write), Depends(sends_json)]
ASKS = [Depends(sends_json)]
Id = Annotated[int, Field(ge=1, le=_MAX_ID)]
Text = Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")]  # PostgreSQL's texts hold no NUL
Time = Annotated[datetime, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]


class Body(BaseModel):
    """A request's body or query; what it does not know is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Paging(Body):
    """Which part of a list, newest first."""

    limit: int = Field(100, ge=1, le=1000)
    """Most items of the answer."""
    before: Id | None = None
    """Only ids below this one: `next` of the page before."""


class Page(BaseModel, Generic[Item]):
    """A part of a list, newest first."""

    items: list[Item]
    next: int | None = Field(description="What to pass as `before` for the next page; null at the end.")


def page(items: Sequence[Any], limit: int) -> dict[str, Any]:
    """A page that may be followed by another where it is full."""
    return {"items": items, "next": items[-1].id if len(items) == limit else None}
