"""Previews of settings: one is computed at a time, in a thread of its own, and only some wait for their turn."""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeAlias, TypeVar

from anyio.to_thread import run_sync
from fastapi import HTTPException

from jobs.api.pages.slow_work import SlowWork
from jobs.api.service_view import ServiceView
from jobs.tuning.comparison import Champion, Comparison, Comparisons
from schemas.config import MonitorConfig
from schemas.errors import SourceError

_log = logging.getLogger("plumbline")
_Result = TypeVar("_Result")

Proposal: TypeAlias = Callable[[], MonitorConfig]
_MAX_WAITING = 8  # including the one that is computed


class Previews:
    """Compares settings for the pages and the API; used by the thread of the server alone.

    Others wait without a thread, so that they hold up no other request.
    """

    def __init__(self) -> None:
        self._comparisons = Comparisons()
        self._slow_work = SlowWork(at_once=1, max_waiting=_MAX_WAITING)

    async def compare(self, service: ServiceView, name: str, proposed: Proposal, days: int) -> Comparison:
        """Compare proposed settings of a monitor with those in force, on its newest scored records.

        Args:
            service: the service.
            name: of the monitor.
            proposed: returns the proposed settings, or refuses them; called in the thread of previews.
            days: length of the history.

        Raises:
            HTTPException: If too many others wait, or the watched table cannot be read.
            NoChampion: If the monitor has no model.
            UsageError: If no record was scored.
            RecordsError: If the records no longer exist.
            RateTooSmall: If the champion cannot resolve the proposed rate.
        """
        return await self._slow_work.run(partial(self._compare, service, name, proposed, days))

    async def in_thread(self, function: Callable[[], _Result]) -> _Result:
        """Run a short function that reads the store in a thread of requests, and return its result."""
        return await run_sync(function)

    def _compare(self, service: ServiceView, name: str, proposed: Proposal, days: int) -> Comparison:
        champion, settings = Champion(*service.scorer_for(name)), proposed()
        try:
            with service.open_source(name) as source:
                return self._comparisons.compare(source, service.store, champion, settings, days, service.clock())
        except SourceError as exc:
            _log.error("a preview failed: %s", exc)
            detail = f"The table of monitor {name!r} cannot be read. The service's log has the reason. Try again later."
            raise HTTPException(503, detail) from exc
