"""Types of the parameters and bodies of requests."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

_MAX_ID = 2**63 - 1  # the largest integer of the databases
FIRST_TIME, LAST_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?)?")


def parse_time(value: object) -> object:
    """Parse a time; without an offset it is in UTC, and a time outside the calendar becomes its first or last one.

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
        return FIRST_TIME if time.year == 1 else LAST_TIME


Id = Annotated[int, Field(ge=1, le=_MAX_ID)]
Text = Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")]  # PostgreSQL's texts hold no NUL
Time = Annotated[datetime, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]


class Body(BaseModel):
    """A request's body or query; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
