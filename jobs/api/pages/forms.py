"""Forms of pages: read from the body of a request, and refused if another site sent them."""

import hmac
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, HTTPException, Request

_MAX_FIELDS, _MAX_LENGTH = 200, 255
_LONGER = {"text": 2_000, "settings": 100_000}  # maximum length of other fields


async def _fields(request: Request) -> Mapping[str, str]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise HTTPException(415, "A form was expected. Use the buttons of the page.")
    if not _is_sent_by_this_site(request):
        raise HTTPException(403, "Another site sent this form, so nothing was changed. Use the buttons of the page.")
    try:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as exc:  # not UTF-8, or too many fields
        raise HTTPException(400, "The form cannot be read. Reload the page and try again.") from exc
    return dict(pairs)


def _is_sent_by_this_site(request: Request) -> bool:
    """Return whether a page of this site sent a form.

    Browsers state it in Sec-Fetch-Site; older ones, and all of them without encryption, only in Origin. A program that
    sends neither is no browser, so it holds no session that another site could use.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    hosts = {request.headers.get(name) for name in ("host", "x-forwarded-host")}  # a form of another site sets neither
    return origin is None or origin.partition("://")[2] in hosts


async def _checked_fields(request: Request) -> Mapping[str, str]:
    """Return the fields of a form that one of this session's pages sent, by a caller who may write."""
    fields = await _fields(request)
    if not hmac.compare_digest(fields.get("token", "").encode(), request.state.form_token.encode()):
        raise HTTPException(403, "The form is out of date, so nothing was changed. Reload the page and try again.")
    if not request.state.caller.may_write:
        raise HTTPException(403, "This key may only read. Sign in with a key of scope operate.")
    for name, value in fields.items():
        limit = _LONGER.get(name, _MAX_LENGTH)
        if len(value) > limit or "\0" in value:
            raise HTTPException(422, f"A text has more than {limit:,} characters, or a null character. Shorten it.")
    return fields


SignInForm = Annotated[Mapping[str, str], Depends(_fields)]
Form = Annotated[Mapping[str, str], Depends(_checked_fields)]
