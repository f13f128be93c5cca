"""The HTTP API of `plumbline serve`. The only package that imports FastAPI."""

from jobs.api.application import create_app
from jobs.api.server import ApiServer
from jobs.api.service_view import ServiceView

__all__ = ["ApiServer", "ServiceView", "create_app"]
