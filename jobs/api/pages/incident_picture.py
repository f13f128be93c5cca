"""The picture of an incident: its records are read and scored on demand, and the newest pictures are kept."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

from anyio.to_thread import run_sync

from jobs.api.pages.turns import ResultCache
from jobs.api.service_view import ServiceView
from jobs.store import StoredIncident

ThemeName: TypeAlias = Literal["light", "dark"]
MEDIA_TYPE = "image/svg+xml"
MAX_PICTURES = 64


@dataclass(frozen=True)
class Look:
    """The colours of a picture, and whether it is for a narrow screen."""

    theme: ThemeName
    is_narrow: bool = False


async def incident_picture(
    pictures: ResultCache[bytes], service: ServiceView, incident: StoredIncident, look: Look
) -> bytes:
    """Return the picture of an incident as SVG; one is drawn at a time, since drawing is not thread-safe.

    Raises:
        HTTPException: If too many others wait to be drawn.
        UsageError: If the table no longer has records.
        NoChampion: If the monitor has no model.
        SourceError: If the table cannot be read.
    """
    champion = await run_sync(service.store.models.require_champion, incident.monitor)
    key = (incident.id, incident.updated_at, champion.model_id, look)
    return await pictures.get(key, partial(_draw, service, incident, look))


def _draw(service: ServiceView, incident: StoredIncident, look: Look) -> bytes:
    from jobs.pictures import draw_view
    from jobs.pictures.files import NARROW, WIDE, rendered
    from jobs.pictures.style import THEMES
    from jobs.reporting.views import ViewReader

    with service.open_source(incident.monitor) as source:
        reader = ViewReader(source, service.store, lambda *_: service.scorer_for(incident.monitor)[1])
        view = reader.of_incident(incident)
    return rendered(draw_view(view, replace(NARROW if look.is_narrow else WIDE, theme=THEMES[look.theme])), "svg")
