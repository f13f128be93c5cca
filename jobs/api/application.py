"""The FastAPI application: routes behind access control and limits."""

from fastapi import FastAPI

from jobs.api.access import PUBLIC_PATHS, AccessControl
from jobs.api.anomalies import router as anomalies
from jobs.api.audit import router as audit
from jobs.api.body_limit import BodyLimit
from jobs.api.change_limit import ChangeLimit
from jobs.api.channels import router as channels
from jobs.api.error_boundary import ErrorBoundary
from jobs.api.events import router as events
from jobs.api.head_requests import HeadRequests
from jobs.api.health import router as health
from jobs.api.incidents import router as incidents
from jobs.api.keys import router as keys
from jobs.api.maintenance import router as maintenance
from jobs.api.models import router as models
from jobs.api.monitors import router as monitors
from jobs.api.pages import MAX_MAPS, MAX_PICTURES, ResultCache, SlowWork
from jobs.api.pages import ROUTERS as PAGES
from jobs.api.previews import Previews
from jobs.api.problems import PROTECTED_RESPONSES, handle_errors, problem_schemas
from jobs.api.request_limit import RequestLimit
from jobs.api.reserved_threads import ReservedThreads
from jobs.api.service_view import ServiceView
from jobs.api.tuning import router as tuning

_DESCRIPTION = (
    "Monitors, models, anomalies and incidents of a Plumbline service. Lists are paged: pass `next` of a response as "
    "`before` to get the next page. Times are RFC 3339; a time without an offset is in UTC. Errors are problem details."
)


def create_app(service: ServiceView, *, is_local: bool = False) -> FastAPI:
    """Create the API of a service.

    Args:
        service: the service.
        is_local: whether only this machine can reach the API; no key is then required while the store has none.
    """
    app = FastAPI(
        title="Plumbline",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,  # the documentation pages load scripts from other sites
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service, app.state.reserved = service, ReservedThreads()
    app.state.pictures, app.state.record_reads = ResultCache(MAX_PICTURES), SlowWork(at_once=2, max_waiting=8)
    app.state.maps = ResultCache(MAX_MAPS)
    app.state.previews = Previews()
    handle_errors(app)
    for routes in (monitors, models, anomalies, incidents, channels, events, audit, tuning, maintenance, keys):
        app.include_router(routes, responses=PROTECTED_RESPONSES)
    app.include_router(health)
    if service.config.service.page:
        for routes in PAGES:
            app.include_router(routes)
    # The last one added is the outermost.
    app.add_middleware(ChangeLimit)
    app.add_middleware(BodyLimit, service=service)
    app.add_middleware(AccessControl, service=service, reserved=app.state.reserved, is_local=is_local)
    app.add_middleware(HeadRequests)
    app.add_middleware(RequestLimit, service=service)
    app.add_middleware(ErrorBoundary)
    _complete_document(app)
    return app


def _complete_document(app: FastAPI) -> None:
    """Add the schemas of errors and the security requirement of every path to the OpenAPI document."""
    document = app.openapi()
    document["components"]["schemas"] |= problem_schemas()
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    for path in PUBLIC_PATHS:
        document["paths"][path]["get"]["security"] = []
