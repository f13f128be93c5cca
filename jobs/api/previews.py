"""Previews of settings: one is computed at a time, in a thread of its own, and only some wait for their turn."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias, TypeVar

from anyio.to_thread import run_sync
from fastapi import HTTPException

from jobs.api.pages.slow_work import SlowWork
from jobs.api.service_view import ServiceView
from jobs.tuning.comparison import Champion, Comparison, Comparisons
from schemas.config import MonitorConfig
from schemas.errors import RateTooSmall, RecordsError, SourceError

_log = logging.getLogger("plumbline")
_Result = TypeVar("_Result")

Proposal: TypeAlias = Callable[[], MonitorConfig]
_MAX_WAITING = 8  # including the one that is computed
_MAX_BEGUN = 32  # results that nobody fetched yet
_MAX_UNASKED = timedelta(minutes=5)  # after which a result counts as out of date; a page asks every second or two
_MOMENT = 0.2  # seconds for which a page waits for a result
_QUEUED, _LOADING = "Waiting for its turn", "Loading the model"


class NothingToCompare(RateTooSmall):
    """Raised if the settings in force flag nothing; proposed ones can be stored all the same."""

    def __init__(self, cause: RateTooSmall) -> None:
        self.found, self.needed = cause.found, cause.needed
        RecordsError.__init__(self, f"The settings in force flag nothing, so there is nothing to compare with. {cause}")


@dataclass
class _Progress:
    """How far a preview is; the thread of previews writes it, and that of the server reads it."""

    text: Callable[[], str] = lambda: _QUEUED


@dataclass
class _Begun:
    """A preview that a page began."""

    task: asyncio.Task[Comparison]
    progress: _Progress
    asked_at: datetime
    """When a page asked for it last."""


class Previews:
    """Compares settings for the pages and the API; used by the thread of the server alone.

    Others wait without a thread, so that they hold up no other request.
    """

    def __init__(self) -> None:
        self._comparisons = Comparisons(self._report)
        self._slow_work = SlowWork(at_once=1, max_waiting=_MAX_WAITING)
        self._begun: OrderedDict[Hashable, _Begun] = OrderedDict()
        self._reported = _Progress()  # of the preview that is computed

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
            NothingToCompare: If the champion cannot resolve the rate in force.
        """
        return await self._slow_work.run(partial(self._compare, service, name, proposed, days, _Progress()))

    async def begin(
        self, key: Hashable, service: ServiceView, name: str, proposed: Proposal, days: int
    ) -> Comparison | str:
        """Begin a comparison, unless it is begun, and return its result, or how far it is after a moment.

        Args:
            key: the same for the same comparison.
            service: the service.
            name: of the monitor.
            proposed: as for `compare`, with the same errors.
            days: length of the history.
        """
        at = service.clock()
        self._drop_unasked(at)
        begun = self._begun.get(key)
        if begun is None:
            progress = _Progress()
            work = partial(self._compare, service, name, proposed, days, progress)
            begun = self._begun[key] = _Begun(asyncio.create_task(self._slow_work.run(work)), progress, at)
            begun.task.add_done_callback(_retrieve_error)
            while len(self._begun) > _MAX_BEGUN:
                self._begun.popitem(last=False)
        begun.asked_at = at
        done, _ = await asyncio.wait({begun.task}, timeout=_MOMENT)
        if not done:
            return begun.progress.text()
        self._begun.pop(key, None)
        return begun.task.result()

    async def in_thread(self, function: Callable[[], _Result]) -> _Result:
        """Run a short function that reads the store in a thread of requests, and return its result."""
        return await run_sync(function)

    def _drop_unasked(self, at: datetime) -> None:
        """Drop results whose page was closed, so that none is shown later as new."""
        for key, begun in list(self._begun.items()):
            if begun.task.done() and at - begun.asked_at > _MAX_UNASKED:
                del self._begun[key]

    def _report(self, text: Callable[[], str]) -> None:
        self._reported.text = text

    def _compare(
        self, service: ServiceView, name: str, proposed: Proposal, days: int, progress: _Progress
    ) -> Comparison:
        self._reported = progress
        progress.text = lambda: _LOADING
        settings = proposed()
        try:
            champion = Champion(*service.scorer_for(name))
        except RateTooSmall as exc:
            raise NothingToCompare(exc) from exc
        try:
            with service.open_source(name) as source:
                return self._comparisons.compare(source, service.store, champion, settings, days, service.clock())
        except SourceError as exc:
            _log.error("a preview failed: %s", exc)
            detail = f"The table of monitor {name!r} cannot be read. The service's log has the reason. Try again later."
            raise HTTPException(503, detail) from exc


def _retrieve_error(task: asyncio.Task[Comparison]) -> None:
    """Mark the error of a preview as seen: its page may be closed."""
    if not task.cancelled():
        task.exception()
