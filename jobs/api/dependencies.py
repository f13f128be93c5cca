"""Dependencies of the routes: the service, existing monitors, the caller's scope and the media type."""

from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request

from jobs.api.caller import Caller
from jobs.api.reserved_threads import ReservedThreads
from jobs.api.restricted_view import RestrictedView
from jobs.api.service_view import ServiceView

# Functions that are not asynchronous would wait for a thread, which health and metrics must not.


async def _service(request: Request) -> ServiceView:
    """Return the service, without the monitors that the caller may not see."""
    service: ServiceView = request.app.state.service
    caller: Caller | None = getattr(request.state, "caller", None)  # none on public paths
    return service if caller is None or caller.monitors is None else RestrictedView(service, caller.monitors)


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _reserved(request: Request) -> ReservedThreads:
    threads: ReservedThreads = request.app.state.reserved
    return threads


async def existing_monitor(service: "Service", name: Annotated[str, Path(description="The monitor's name.")]) -> str:
    """Return the name of a monitor, or refuse it if the configuration has no such monitor."""
    service.config.monitor(name)
    return name


async def require_json(request: Request) -> None:
    """Refuse a body that a form on another site could have sent."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "Send JSON, with the header `Content-Type: application/json`.")


async def require_write_scope(caller: "CallerOf") -> None:
    """Refuse a caller whose key has scope `read`."""
    if not caller.may_write:
        raise HTTPException(403, "This key may only read. Create another: plumbline keys add NAME --scope operate")


async def require_tuning(caller: "CallerOf") -> None:
    """Refuse a caller whose key has another scope than `admin`."""
    if not caller.may_tune:
        raise HTTPException(403, "Only a key of scope admin may do this: plumbline keys add NAME --scope admin")


async def require_management(caller: "CallerOf") -> None:
    """Refuse a caller whose key has another scope than `admin`, or is for some monitors only."""
    if not caller.may_manage:
        raise HTTPException(
            403, "Only a key of scope admin for all monitors may do this: plumbline keys add NAME --scope admin"
        )


Service = Annotated[ServiceView, Depends(_service)]
CallerOf = Annotated[Caller, Depends(_caller)]
Reserved = Annotated[ReservedThreads, Depends(_reserved)]
MonitorName = Annotated[str, Depends(existing_monitor)]
WRITES = [Depends(require_write_scope), Depends(require_json)]
TUNES = [Depends(require_tuning), Depends(require_json)]
MANAGES = [Depends(require_management), Depends(require_json)]
TUNES_WITHOUT_BODY = [Depends(require_tuning)]
MANAGES_WITHOUT_BODY = [Depends(require_management)]
WRITES_WITHOUT_BODY = [Depends(require_write_scope)]
TAKES_JSON = [Depends(require_json)]
