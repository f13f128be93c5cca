"""Dependencies of the routes: the service, existing monitors, the caller's scope and the media type."""

from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request

from jobs.api.service_view import ServiceView


def _service(request: Request) -> ServiceView:
    service: ServiceView = request.app.state.service
    return service


def existing_monitor(service: "Service", name: Annotated[str, Path(description="The monitor's name.")]) -> str:
    """Return the name of a monitor, or refuse it if the configuration has no such monitor."""
    service.config.monitor(name)
    return name


def require_json(request: Request) -> None:
    """Refuse a body that a form on another site could have sent."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "Send JSON, with the header `Content-Type: application/json`.")


def require_write_scope(request: Request) -> None:
    """Refuse a caller whose key has scope `read`."""
    if not request.state.may_write:
        raise HTTPException(403, "This key may only read. Create another: plumbline keys add NAME --scope write")


Service = Annotated[ServiceView, Depends(_service)]
MonitorName = Annotated[str, Depends(existing_monitor)]
WRITES = [Depends(require_write_scope), Depends(require_json)]
TAKES_JSON = [Depends(require_json)]
