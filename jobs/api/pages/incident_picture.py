"""The picture of an incident: its records are read and scored on demand, and the newest pictures are kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Literal, TypeAlias

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import HTTPException

from jobs.api.service_view import ServiceView
from jobs.store import StoredIncident

ThemeName: TypeAlias = Literal["light", "dark"]
MEDIA_TYPE = "image/svg+xml"
_MAX_PICTURES = 64
_MAX_WAITING = 8  # including the one that is drawn


@dataclass(frozen=True)
class Look:
    """The colours of a picture, and whether it is for a narrow screen."""

    theme: ThemeName
    is_narrow: bool = False


PictureKey: TypeAlias = tuple[int, datetime, int, Look]
"""Incident, its last change, model, look."""


class PictureCache:
    """The newest pictures; used by the thread of the server alone.

    One is drawn at a time, since drawing is not thread-safe, in a thread of its own: others wait without a thread, so
    that they hold up no other request.
    """

    def __init__(self) -> None:
        self._pictures: OrderedDict[PictureKey, bytes] = OrderedDict()
        self._turn, self._thread = asyncio.Lock(), CapacityLimiter(1)
        self._waiting = 0

    async def picture(self, service: ServiceView, incident: StoredIncident, look: Look) -> bytes:
        """Return the picture of an incident as SVG.

        Raises:
            HTTPException: If too many others wait to be drawn.
            UsageError: If the table no longer has records.
            NoChampion: If the monitor has no model.
            SourceError: If the table cannot be read.
        """
        champion = await run_sync(service.store.models.require_champion, incident.monitor)
        key = (incident.id, incident.updated_at, champion.model_id, look)
        if key not in self._pictures:
            await self._draw_in_turn(key, partial(_draw, service, incident, look))
        self._pictures.move_to_end(key)
        return self._pictures[key]

    async def _draw_in_turn(self, key: PictureKey, draw: Callable[[], bytes]) -> None:
        if self._waiting >= _MAX_WAITING:
            raise HTTPException(503, f"{_MAX_WAITING} other pictures are being drawn. Reload the page later.")
        self._waiting += 1
        try:
            async with self._turn:
                if key not in self._pictures:  # nobody drew it in the meantime
                    self._pictures[key] = await run_sync(draw, limiter=self._thread)
        finally:
            self._waiting -= 1
        while len(self._pictures) > _MAX_PICTURES:
            self._pictures.popitem(last=False)


def _draw(service: ServiceView, incident: StoredIncident, look: Look) -> bytes:
    from jobs.pictures import draw_view
    from jobs.pictures.files import NARROW, WIDE, rendered
    from jobs.pictures.style import THEMES
    from jobs.reporting.views import ViewReader

    with service.open_source(incident.monitor) as source:
        reader = ViewReader(source, service.store, lambda *_: service.scorer_for(incident.monitor)[1])
        view = reader.of_incident(incident)
    return rendered(draw_view(view, replace(NARROW if look.is_narrow else WIDE, theme=THEMES[look.theme])), "svg")
