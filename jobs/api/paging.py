"""Pages of lists, newest first."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from jobs.api.parameters import Body, Id

Item = TypeVar("Item")


class Paging(Body):
    """The part of a list to return, newest first."""

    limit: int = Field(100, ge=1, le=1000)
    """Maximum number of items."""
    before: Id | None = None
    """Only ids below this one: `next` of the previous page."""


class Page(BaseModel, Generic[Item]):
    """A part of a list, newest first."""

    items: list[Item]
    next: int | None = Field(description="Pass this as `before` for the next page; null at the end.")


def page(items: Sequence[Any], limit: int) -> dict[str, Any]:
    """Return the fields of a page; a full page may have a next one."""
    return {"items": items, "next": items[-1].id if len(items) == limit else None}
