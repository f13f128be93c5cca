"""Error responses of the API, as problem details (RFC 9457)."""

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
from starlette.routing import Match

from jobs.wording import counted_noun
from schemas.errors import (
    NoChampion,
    NoEarlierChampion,
    PlumblineError,
    RateTooSmall,
    RecordsError,
    StoreError,
    TooManyRequests,
    UsageError,
)

_log = logging.getLogger("plumbline")

MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS_SHOWN = 100

# The status of each class of errors. The first match counts.
_STATUS: tuple[tuple[type[PlumblineError], int], ...] = (
    (UsageError, 404),
    (TooManyRequests, 429),
    (NoChampion, 409),
    (NoEarlierChampion, 409),
    (RateTooSmall, 409),
    (RecordsError, 422),
    (StoreError, 503),
)
_FRAMEWORK_DETAILS = {
    400: "The body is not valid JSON in UTF-8.",
    404: "This path does not exist. GET /openapi.json lists every path.",
    405: "This path does not support this method. The header `Allow` lists the supported methods.",
}
_HIDDEN_DETAILS = {
    500: "The service failed to process the request. Its log has the reason.",
    503: "The service's own database is unavailable. The service's log has the reason. Try again later.",
}


class Fault(BaseModel):
    """An error in one place of a request."""

    place: str = Field(description="Place of the error, such as `query.limit` or `body.records[3].flow`.")
    message: str = Field(description="What was expected, and what was received.")
    record: int | None = Field(None, description="Position of the record in the request, from 0.")
    column: str | None = Field(None, description="Column of the record.")


class Problem(BaseModel):
    """The reason why a request failed."""

    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What happened, what was expected, what to do.")
    errors: list[Fault] = Field(description="Every error in the request, with its place.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of error statuses."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}} for status in statuses}


PROTECTED_RESPONSES = documented(401, 421, 429, 503)  # of every path behind access control


@dataclass(frozen=True)
class RecordFault:
    """A missing or mistyped value in a record."""

    record: int
    column: str
    message: str


class UnfitRecords(RecordsError):
    """Raised if records of a request do not match the monitor; holds each fault with its place."""

    def __init__(self, monitor: str, faults: Sequence[RecordFault]) -> None:
        self.faults = faults
        super().__init__(
            f"The records do not fit monitor {monitor!r}: {counted_noun(len(faults), 'invalid value')}. "
            f"`errors` lists each. GET /monitors/{monitor} lists the features with their types."
        )


def handle_errors(app: FastAPI) -> None:
    """Return every error of an application as a problem."""
    app.add_exception_handler(PlumblineError, _handle_own)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_exception_handler(HTTPException, _handle_http)


def problem(
    status: int, detail: str, errors: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """Create the response that states a problem."""
    shown = [fault.model_dump() for fault in errors[:_MAX_ERRORS_SHOWN]]
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "errors": shown}
    # Escaped, since a client may have sent half a surrogate pair, which UTF-8 cannot encode.
    return Response(json.dumps(content), status, headers, MEDIA_TYPE)


def described(error: Exception) -> tuple[int, str]:
    """Return the status and the text of an error; details of server errors go to the log only."""
    if isinstance(error, HTTPException):
        return error.status_code, _http_detail(error)
    if isinstance(error, RequestValidationError):
        return 422, "; ".join(f"{fault.place}: {fault.message}" for fault in _faults(error))
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    if status >= 500:
        _log.error("a request failed: %s", error, exc_info=None if isinstance(error, PlumblineError) else error)
    return status, _HIDDEN_DETAILS.get(status, str(error))


def problem_of(error: Exception) -> Response:
    """Create the response to an error."""
    status, detail = described(error)
    faults = error.faults if isinstance(error, UnfitRecords) else ()
    errors = [Fault(place=f"body.records[{fault.record}].{fault.column}", **asdict(fault)) for fault in faults]
    return problem(status, detail, errors)


async def _handle_own(_request: Request, error: Exception) -> Response:
    return problem_of(error)


async def _handle_validation(_request: Request, error: Exception) -> Response:
    errors = _faults(error)
    if isinstance(error, RequestValidationError) and any(item["type"] == "json_invalid" for item in error.errors()):
        return problem(400, _FRAMEWORK_DETAILS[400], errors)
    return problem(422, "The request does not match the documented form. `errors` lists every mismatch.", errors)


async def _handle_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return problem_of(error)
    headers = {"Allow": _methods_of(request)} if error.status_code == 405 else error.headers
    return problem(error.status_code, _http_detail(error), headers=headers)


def _methods_of(request: Request) -> str:
    """Return the methods of a path; each has a route of its own."""
    routers = [getattr(item, "original_router", None) for item in request.app.routes]
    routes = [route for router in routers if router is not None for route in router.routes]
    matching = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    return ", ".join(sorted({method for route in matching for method in getattr(route, "methods", ())}))


def _http_detail(error: HTTPException) -> str:
    status = error.status_code
    is_from_framework = status == 400 or error.detail == HTTPStatus(status).phrase
    return _FRAMEWORK_DETAILS.get(status, error.detail) if is_from_framework else error.detail


def _faults(error: Exception) -> list[Fault]:
    details: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    return [Fault(place=_place(item["loc"]), message=item["msg"].removeprefix("Value error, ")) for item in details]


def _place(location: Sequence[str | int]) -> str:
    """Format a place, such as ``body.records[3].flow``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def problem_schemas() -> dict[str, Any]:
    """Return the OpenAPI schemas of a problem."""
    _, document = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
    return dict(document["$defs"])
