"""HEAD: processed as GET, whose body the server leaves out."""

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadRequests:
    """Passes HEAD on as GET; the server knows the method of the request and sends the headers alone.

    Args:
        app: the next layer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self._app({**scope, "method": "GET"} if scope["method"] == "HEAD" else scope, receive, send)
