"""The application: what is answered where, behind the gate."""

from fastapi import FastAPI

from jobs.api.anomalies import router as findings
from jobs.api.health import router as health
from jobs.api.monitors import router as monitors
from jobs.api.problems import GUARDED, install, schemas
from jobs.api.request_limits import PUBLIC, BodyLimit, ErrorBoundary, Gate
from jobs.api.state import State

_DESCRIPTION = (
    "Monitors, models, anomalies and incidents of a Plumbline service. Lists are paged: pass `next` of an answer as "
    "`before` to go on. Times are RFC 3339; one without an offset is in UTC. Errors are problem details."
)


def create_app(state: State, *, is_local: bool = False) -> FastAPI:
    """The API of a service.

    Args:
        state: the service.
        is_local: whether only this machine can reach it; it then asks for no key while the store has none.
    """
    app = FastAPI(
        title="Plumbline",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = state
    install(app)
    for routes in (monitors, findings):
        app.include_router(routes, responses=GUARDED)
    app.include_router(health)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, state=state)
    app.add_middleware(Gate, state=state, is_local=is_local)
    app.add_middleware(ErrorBoundary)
    _complete_document(app)
    return app


def _complete_document(app: FastAPI) -> None:
    """Describe in the OpenAPI document the form of errors, and that all but the public paths need a key."""
    document = app.openapi()
    document["components"]["schemas"] |= schemas()
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    for path in PUBLIC:
        document["paths"][path]["get"]["security"] = []
