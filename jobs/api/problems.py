"""Errors of the API in one form: problem details (RFC 9457) that say what happened and what to do."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from schemas.errors import NoChampion, PlumblineError, RateTooSmall, RecordsError, StoreError, UsageError

_log = logging.getLogger("plumbline")

MEDIA_TYPE = "application/problem+json"
_ERRORS_SHOWN = 100

# What an error means to a client. The first class that fits counts.
_STATUS: tuple[tuple[type[PlumblineError], int], ...] = (
    (UsageError, 404),
    (NoChampion, 409),
    (RateTooSmall, 409),
    (RecordsError, 422),
    (StoreError, 503),
)
_PLAIN = {
    400: "The body is no JSON in UTF-8.",
    404: "There is nothing at this path. GET /openapi.json lists every path.",
    405: "This path does not answer this method. The header `Allow` lists those that it does.",
}
_SENTENCES = {
    500: "The service failed to answer. Its log says why.",
    503: "The service's own database cannot be used at the moment. The service's log says why; try again.",
}


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    place: str = Field(description="Where it is, such as `query.limit` or `body.records[3].flow`.")
    message: str = Field(description="What was expected, and what was received.")
    record: int | None = Field(None, description="Position of the record in the request, from 0.")
    column: str | None = Field(None, description="Column of the record.")


class Problem(BaseModel):
    """Why a request was not answered."""

    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What happened, what was expected, what to do.")
    errors: list[Fault] = Field(description="Everything that is wrong with the request, place by place.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These statuses as an OpenAPI document describes them."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}} for status in statuses}


GUARDED = documented(401, 421, 503)  # of every path behind the gate


@dataclass(frozen=True)
class RecordFault:
    """A value of a record that does not fit the monitor."""

    record: int
    column: str
    message: str


class UnfitRecords(RecordsError):
    """Records of a request that do not fit the monitor, each fault with its place."""

    def __init__(self, monitor: str, faults: Sequence[RecordFault]) -> None:
        self.faults = faults
        super().__init__(
            f"The records do not fit monitor {monitor!r}: {len(faults)} values are wrong. `errors` names each. "
            f"GET /monitors/{monitor} lists the features with their types."
        )


def install(app: FastAPI) -> None:
    """Answer every error of an application in the one form."""
    app.add_exception_handler(PlumblineError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


def problem(
    status: int, detail: str, errors: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that states a problem."""
    shown = [fault.model_dump() for fault in errors[:_ERRORS_SHOWN]]
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "errors": shown}
    # Escaped, since what a client sent may hold half a surrogate pair, which UTF-8 cannot.
    return Response(json.dumps(content), status, headers, MEDIA_TYPE)


def problem_of(error: Exception) -> Response:
    """The answer that states an error; what is not the client's concern goes to the log alone."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    if status >= 500:
        _log.error("a request failed: %s", error, exc_info=None if isinstance(error, PlumblineError) else error)
    faults = error.faults if isinstance(error, UnfitRecords) else ()
    errors = [Fault(place=f"body.records[{fault.record}].{fault.column}", **asdict(fault)) for fault in faults]
    return problem(status, _SENTENCES.get(status, str(error)), errors)


async def _of_ours(_request: Request, error: Exception) -> Response:
    return problem_of(error)


async def _of_validation(_request: Request, error: Exception) -> Response:
    found: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    errors = [Fault(place=_place(item["loc"]), message=item["msg"].removeprefix("Value error, ")) for item in found]
    if any(item["type"] == "json_invalid" for item in found):
        return problem(400, _PLAIN[400], errors)
    return problem(422, "The request does not have the documented form. `errors` says where.", errors)


async def _of_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return problem_of(error)
    status = error.status_code
    is_theirs = status == 400 or error.detail == HTTPStatus(status).phrase  # of the framework, which is terse
    return problem(status, _PLAIN.get(status, error.detail) if is_theirs else error.detail, headers=error.headers)


def _place(location: Sequence[str | int]) -> str:
    """A place such as ``body.records[3].flow``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def schemas() -> dict[str, Any]:
    """The form of a problem as an OpenAPI document describes it."""
    _, found = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
    return dict(found["$defs"])
