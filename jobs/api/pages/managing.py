"""Pages of maintenance windows, keys and channels."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import ValidationError

from jobs.api.dependencies import CallerOf, MonitorName, Service
from jobs.api.keys import KeyToAdd, NewKey, create_key, try_channel
from jobs.api.pages.forms import Form
from jobs.api.pages.rendering import PageRoute, address, back_to, page
from jobs.api.pages.shown import ShownWindow
from jobs.maintenance import window_rows
from jobs.store import NewWindow
from jobs.store.api_keys import SCOPES
from schemas.errors import UsageError
from schemas.section import is_duration, parse_duration

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_MAX_LENGTH = timedelta(days=366)
_NOT_ADMIN = "Only a key of scope admin for all monitors may do this. Sign in with one."


@router.get("/page/maintenance")
def show_all_maintenance(request: Request, service: Service) -> Response:
    """List the maintenance windows of every monitor."""
    return _maintenance_page(request, service, None)


@router.get("/page/monitors/{name}/maintenance")
def show_maintenance(request: Request, name: MonitorName, service: Service) -> Response:
    """List the maintenance windows of a monitor."""
    return _maintenance_page(request, service, name)


def _maintenance_page(request: Request, service: Service, name: str | None) -> Response:
    at, names = service.clock(), [name] if name else list(service.config.monitors)
    windows = service.store.maintenance_windows
    rows = [row for each in names for row in window_rows(each, service.config.monitor(each), windows.of(each), at)]
    is_over = [row for row in rows if row.state in {"over", "cancelled"}]
    current = [row for row in rows if row not in is_over]
    groups = {"Open and planned": current, "Over": is_over}
    return page(request, "maintenance.html", name=name, names=names, groups=groups, at=at)


@router.post("/page/maintenance")
def add_window(form: Form, service: Service, caller: CallerOf) -> Response:
    """Store a maintenance window."""
    at, name = service.clock(), form.get("monitor", "")
    service.config.monitor(name)
    start = _time(form.get("start", "")) or at
    entity, reason = form.get("entity", "").strip() or None, form.get("reason") or None
    window = NewWindow.lasting(start, _length(form), entity, reason)
    service.store.maintenance_windows.add(name, window, at, caller.name)
    return back_to(address("monitors", name, "maintenance"))


@router.post("/page/maintenance/{window_id}/end")
def end_window(window: ShownWindow, form: Form, service: Service, caller: CallerOf) -> Response:  # noqa: ARG001 - checked
    """End a maintenance window now, or cancel it before it starts."""
    service.store.maintenance_windows.end(window.id, service.clock(), caller.name)
    return back_to(address("monitors", window.monitor, "maintenance"))


def _time(text: str) -> datetime | None:
    """Return the time of a field, in UTC; None if it is empty."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        msg = f"{text!r} is not a time. Use a form such as 2026-03-01T12:30."
        raise UsageError(msg) from None


def _length(form: Form) -> timedelta:
    text = form.get("length", "")
    try:
        length = parse_duration(text) if is_duration(text) else None
    except ValueError:
        length = None
    if not isinstance(length, timedelta) or not timedelta(0) < length <= _MAX_LENGTH:
        msg = f"{text!r} is not the length of a window. Use a text such as 2h or 1h 30m, of at most 366 days."
        raise UsageError(msg)
    return length


@router.get("/page/keys")
def show_keys(request: Request, service: Service, caller: CallerOf) -> Response:
    """List the keys, without their secrets."""
    return _keys_page(request, service, caller, None)


def _keys_page(request: Request, service: Service, caller: CallerOf, new: NewKey | None) -> Response:
    if not caller.may_manage:
        raise HTTPException(403, _NOT_ADMIN)
    keys, at = service.store.api_keys.all(), service.clock()
    monitors = list(service.config.monitors)
    return page(request, "keys.html", keys=keys, new=new, at=at, scopes=SCOPES, monitors=monitors)


@router.post("/page/keys")
def add_key(request: Request, form: Form, service: Service, caller: CallerOf) -> Response:
    """Create a key and show its secret, once."""
    if not caller.may_manage:
        raise HTTPException(403, _NOT_ADMIN)
    fields = {"name": form.get("name", "").strip(), "scope": form.get("scope", "read")}
    monitors = [form["monitor"]] if form.get("monitor") else None
    try:
        sent = KeyToAdd.model_validate({**fields, "monitors": monitors, "days": form.get("days") or None})
    except ValidationError as exc:
        error = exc.errors(include_input=False)[0]
        raise HTTPException(422, f"{' '.join(map(str, error['loc']))}: {error['msg']}. Correct the form.") from exc
    response = _keys_page(request, service, caller, create_key(service, sent, caller.name))
    response.headers["Cache-Control"] = "no-store"
    return response


@router.post("/page/keys/revoke")
def revoke_key(form: Form, service: Service, caller: CallerOf) -> Response:
    """Revoke a key."""
    if not caller.may_manage:
        raise HTTPException(403, _NOT_ADMIN)
    service.store.api_keys.revoke(form.get("name", ""), service.clock(), caller.name)
    return back_to(address("keys"))


@router.post("/page/alerts/test")
def send_test_message(form: Form, service: Service, caller: CallerOf) -> Response:
    """Send a test message to a channel."""
    if not caller.may_manage:
        raise HTTPException(403, _NOT_ADMIN)
    channel = form.get("channel", "")
    try_channel(service, channel)
    return back_to(address("alerts", tested=channel))
