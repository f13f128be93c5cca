"""The picture of an incident: its records are read and scored on demand, and the newest pictures are kept."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from jobs.api.service_view import ServiceView
from jobs.store import StoredIncident
from schemas.errors import UsageError

MEDIA_TYPE = "image/svg+xml"
_MAX_PICTURES = 64


@dataclass(frozen=True)
class Look:
    """The colours of a picture, "light" or "dark", and whether it is for a narrow screen."""

    theme: str
    is_narrow: bool = False


PictureKey: TypeAlias = tuple[int, datetime, int, Look]
"""Incident, its last change, model, look."""


@dataclass
class PictureCache:
    """The newest pictures; one is drawn at a time, since drawing is not thread-safe."""

    pictures: OrderedDict[PictureKey, bytes] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def picture(self, service: ServiceView, incident: StoredIncident, look: Look) -> bytes:
        """Return the picture of an incident as SVG.

        Raises:
            UsageError: If the theme does not exist, or the table no longer has records.
            NoChampion: If the monitor has no model.
            SourceError: If the table cannot be read.
        """
        champion = service.store.models.require_champion(incident.monitor)
        key = (incident.id, incident.updated_at, champion.model_id, look)
        with self.lock:
            if key not in self.pictures:
                self.pictures[key] = _draw(service, incident, look)
                while len(self.pictures) > _MAX_PICTURES:
                    self.pictures.popitem(last=False)
            self.pictures.move_to_end(key)
            return self.pictures[key]


def _draw(service: ServiceView, incident: StoredIncident, look: Look) -> bytes:
    from jobs.pictures import draw_view
    from jobs.pictures.files import NARROW, WIDE, rendered
    from jobs.pictures.style import THEMES
    from jobs.reporting.views import ViewReader

    if look.theme not in THEMES:
        raise UsageError(f"{look.theme!r} is not a theme. Use one of: {', '.join(THEMES)}.")
    with service.open_source(incident.monitor) as source:
        reader = ViewReader(source, service.store, lambda *_: service.scorer_for(incident.monitor)[1])
        view = reader.of_incident(incident)
    return rendered(draw_view(view, replace(NARROW if look.is_narrow else WIDE, theme=THEMES[look.theme])), "svg")
