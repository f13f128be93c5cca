"""Routes of maintenance windows: list, add, end."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from pydantic import Field

from jobs.api.dependencies import WRITES, WRITES_WITHOUT_BODY, CallerOf, MonitorName, Service
from jobs.api.parameters import Body, Id, Text, Time
from jobs.api.problems import documented
from jobs.maintenance import WindowRow, window_rows
from jobs.store import NewWindow, StoredWindow
from jobs.store.maintenance_windows import no_window
from schemas.errors import UsageError

router = APIRouter()


class WindowToAdd(Body):
    """A maintenance window to store."""

    start_time: Time | None = None
    """Its start; now if it is null."""
    minutes: int = Field(ge=1, le=527_040)
    """Its length."""
    entity: Text | None = None
    """The entity that it applies to; all if it is null."""
    reason: Text | None = None


@router.get("/monitors/{name}/maintenance", responses=documented(404, 422))
def list_windows(name: MonitorName, service: Service) -> list[WindowRow]:
    """List the maintenance windows of a monitor: those of the configuration, and then the stored ones, newest first."""
    stored = service.store.maintenance_windows.of(name)
    return window_rows(name, service.config.monitor(name), stored, service.clock())


@router.post(
    "/monitors/{name}/maintenance",
    dependencies=WRITES,
    responses=documented(400, 403, 404, 408, 409, 413, 415, 422),
)
def add_window(name: MonitorName, sent: WindowToAdd, service: Service, caller: CallerOf) -> StoredWindow:
    """Store a maintenance window: records that are scored from now on are muted in it."""
    at = service.clock()
    length = timedelta(minutes=sent.minutes)
    try:
        window = NewWindow.lasting(sent.start_time or at, length, sent.entity, sent.reason)
    except UsageError as exc:
        raise HTTPException(409, str(exc)) from exc
    windows = service.store.maintenance_windows
    return windows.get(windows.add(name, window, at, caller.name))


def find_window(window_id: Annotated[Id, Path()], service: Service, caller: CallerOf) -> StoredWindow:
    """Return a window of a monitor that the caller may see.

    Raises:
        UsageError: If there is no such window.
    """
    window = service.store.maintenance_windows.get(window_id)
    if not caller.sees(window.monitor):
        raise no_window(window_id)
    return window


@router.delete("/maintenance/{window_id}", dependencies=WRITES_WITHOUT_BODY, responses=documented(403, 404, 422))
def end_window(window_id: Annotated[Id, Path()], service: Service, caller: CallerOf) -> StoredWindow:
    """End a stored maintenance window now, or cancel it before it starts."""
    window = find_window(window_id, service, caller)
    return service.store.maintenance_windows.end(window.id, service.clock(), caller.name)
