"""Whether the service lives, whether it works, and its metrics."""

from typing import Any, Literal

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from jobs.api.common import Service
from jobs.api.metrics import render
from jobs.api.problems import GUARDED, Fault, documented, problem
from schemas.errors import StoreError

router = APIRouter()

_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"content": {CONTENT_TYPE_PLAIN_0_0_4: {"schema": {"type": "string"}}}, "description": "Metrics as text."}
}


class Health(BaseModel):
    """That the service can be asked."""

    status: Literal["alive", "ready"]


@router.get("/healthz")
async def healthz() -> Health:
    """Whether the process lives. Needs no key."""
    return Health(status="alive")


@router.get("/readyz", response_model=Health, responses=documented(503))
def readyz(service: Service) -> Health | Response:
    """Whether the service does its work: the store answers, its schema fits, the scheduler runs. Needs no key."""
    faults = []
    try:
        service.store.refuse_unready()
    except StoreError:
        faults.append(Fault(place="store", message="It cannot be reached, or its tables are of another version."))
    if not service.is_alive():
        faults.append(Fault(place="scheduler", message="It does not run."))
    if faults:
        return problem(503, "The service is not ready. `errors` says what is not; its log says why.", faults)
    return Health(status="ready")


@router.get("/metrics", response_class=Response, responses=_METRICS | GUARDED)
def metrics(service: Service) -> Response:
    """Metrics for Prometheus, computed from the store."""
    return Response(render(service), media_type=CONTENT_TYPE_PLAIN_0_0_4)
