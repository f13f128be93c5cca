"""Health checks and metrics."""

from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from jobs.api.dependencies import CallerOf, Reserved, Service
from jobs.api.metrics import render
from jobs.api.problems import PROTECTED_RESPONSES, Fault, documented, problem
from schemas.errors import StoreError

router = APIRouter()

_METRICS_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {CONTENT_TYPE_PLAIN_0_0_4: {"schema": {"type": "string"}}},
        "description": "Metrics in text format.",
    }
}


class Health(BaseModel):
    """The health of the service."""

    status: Literal["alive", "ready"]


@router.get("/healthz")
async def healthz() -> Health:
    """Report whether the process is alive. Requires no key."""
    return Health(status="alive")


@router.get("/readyz", response_model=Health, responses=documented(503))
async def readyz(service: Service, reserved: Reserved) -> Health | Response:
    """Report whether the store is reachable, its schema current and the scheduler running. Requires no key."""
    faults = []
    try:
        await reserved.run(service.health.refuse_unready)
    except StoreError:
        faults.append(Fault(place="store", message="It cannot be reached, or its schema has another version."))
    if not service.is_alive():
        faults.append(Fault(place="scheduler", message="It is not running."))
    if faults:
        return problem(
            503,
            "The service is not ready. `errors` lists the failed checks. The service's log has the reasons.",
            faults,
        )
    return Health(status="ready")


@router.get("/metrics", response_class=Response, responses=_METRICS_RESPONSE | PROTECTED_RESPONSES)
async def metrics(service: Service, caller: CallerOf, reserved: Reserved) -> Response:
    """Return metrics for Prometheus, computed from the store."""
    of_all = caller.monitors is None
    return Response(await reserved.run(partial(render, service, of_all=of_all)), media_type=CONTENT_TYPE_PLAIN_0_0_4)
