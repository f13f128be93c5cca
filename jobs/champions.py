"""Champions ready to score, loaded once and shared by runs and requests."""

import logging
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING

from jobs.kinds import kind_of
from jobs.store import Champion, Store
from schemas.config import MonitorConfig

if TYPE_CHECKING:
    from detector.core.scorer import Scorer

_log = logging.getLogger("plumbline")


def load_scorer(store: Store, champion: Champion, monitor: MonitorConfig) -> "Scorer":
    """Load a champion, ready to score at the rates of its monitor.

    Raises:
        ArtifactError: If the stored model is not the one that was trained, or does not fit the monitor.
        RateTooSmall: If its calibration records cannot resolve the rate.
    """
    return kind_of(monitor).load(store.models.blob(champion.model_id), champion, monitor)


class Scorers:
    """The last champion of each monitor; several threads may score with one champion at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[tuple[object, ...], Scorer]] = {}

    def load(self, store: Store, champion: Champion, monitor: MonitorConfig) -> "Scorer":
        """Return a champion, ready to score at the rates of its monitor.

        Raises:
            ArtifactError: If the stored model is not the one that was trained, or does not fit the monitor.
            RateTooSmall: If its calibration records cannot resolve the rate.
        """
        rates = (monitor.false_positive_rate, monitor.flag, monitor.false_discovery_rate, monitor.fdr_memory)
        version = (champion.model_id, champion.sha256, kind_of(monitor).name, monitor.grid, *rates)
        with self._lock:
            loaded_version, scorer = self._kept.get(champion.monitor, (None, None))
            if loaded_version != version or scorer is None:
                self._kept.pop(champion.monitor, None)  # frees the memory of the old one first
                scorer = self._loaded(store, champion, monitor)
                self._kept[champion.monitor] = (version, scorer)
            return scorer

    def keep(self, monitors: Collection[str]) -> None:
        """Drop the champions of all other monitors."""
        with self._lock:
            for name in self._kept.keys() - set(monitors):
                del self._kept[name]

    def _loaded(self, store: Store, champion: Champion, monitor: MonitorConfig) -> "Scorer":
        scorer = load_scorer(store, champion, monitor)
        _log.info("loaded the champion", extra={"facts": {"monitor": champion.monitor, "model": champion.model_id}})
        return scorer
