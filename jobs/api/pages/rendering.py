"""Responses of pages: HTML of a template, with the headers that keep other sites and scripts out."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment
from markupsafe import Markup

from jobs.api.caller import Caller
from jobs.api.pages.model import psi_level
from jobs.api.pages.static_files import asset_url
from jobs.api.problems import described
from jobs.html import html_environment
from jobs.status_texts import held_back
from jobs.wording import shown, visible

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers send forms with the origin "null"
}


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that answers an error with a page that states it."""
        handle = super().get_route_handler()

        async def handle_with_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as exc:  # noqa: BLE001 - the log has what nobody expected, and the page states it
                status, detail = described(exc)
                return page(request, "problem.html", status=status, problem=detail)

        return handle_with_errors


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """Return the page that a template makes of values."""
    caller: Caller | None = getattr(request.state, "caller", None)  # none on public pages
    session = {
        "form_token": getattr(request.state, "form_token", ""),
        "may_write": caller is not None and caller.may_write,
        "may_promote": caller is not None and caller.may_promote,
        "caller": caller,
        "key_name": None if caller is None else caller.key_name,
        "path": request.url.path,
        "status": status,
    }
    text = _environment().get_template(template).render(**session, **values)
    return HTMLResponse(text, status, _HEADERS)


def back_to(location: str) -> RedirectResponse:
    """Send the browser to a page after a form, so that reloading it sends nothing again."""
    return RedirectResponse(location, status_code=303)


@cache
def _environment() -> Environment:
    environment = html_environment("jobs.api.pages")
    environment.globals |= {"url": address, "asset_url": asset_url}
    environment.filters |= {"time": _time, "level": severity_level, "psi_level": psi_level, "breakable": breakable}
    environment.filters |= {"held_back": held_back}
    return environment


def address(*parts: object, **query: object) -> str:
    """Return the address of a page; a query parameter that is None is left out.

    >>> address("monitors", "a/b", days=7, until=None)
    '/page/monitors/a%2Fb?days=7'
    """
    path = "/page/" + "/".join(quote(str(part), safe="") for part in parts)
    given = {name: _query_text(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def severity_level(severity: float) -> int:
    """Return the level of a severity, from 1 to 4, by which it is coloured.

    >>> severity_level(0), severity_level(49.9), severity_level(80), severity_level(250)
    (1, 2, 4, 4)
    """
    return min(4, 1 + int(max(severity, 0) // 25))


def breakable(name: str) -> Markup:
    """Return the name of a column, which a browser may break after each underscore.

    >>> print(breakable("mean_<b>"))
    mean_<wbr>&lt;b&gt;
    """
    return Markup("_<wbr>").join(visible(part) for part in name.split("_"))


def _query_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _time(time: datetime | None) -> Markup | str:
    """Return a time as an element that the page's script shows in the viewer's zone."""
    if time is None:
        return ""
    return Markup('<time datetime="{}">{} UTC</time>').format(time.isoformat(), shown(time))
