"""Champions ready to score, loaded once and shared by runs and requests."""

import logging
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from jobs.store import Champion, Store
from schemas.config import MonitorConfig

if TYPE_CHECKING:
    from jobs.reading.context import AnyScorer

_log = logging.getLogger("plumbline")


class Scorers:
    """The last champion of each monitor; several threads may score with one at the same time.

    Args:
        choose_backend: loads Keras; called before the first champion, as it takes seconds.
    """

    def __init__(self, choose_backend: Callable[[], None]) -> None:
        self._choose_backend = choose_backend
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[tuple[object, ...], AnyScorer]] = {}

    def load(self, store: Store, champion: Champion, monitor: MonitorConfig) -> "AnyScorer":
        """A champion, ready to score at the rates that the monitor asks for now.

        Raises:
            ArtifactError: where the stored model is not the one that was trained.
            RateTooSmall: where its calibration records cannot resolve the rate.
        """
        is_series = monitor.series is not None
        rates = (monitor.false_positive_rate, monitor.flag, monitor.false_discovery_rate)
        wanted = (champion.model_id, champion.sha256, is_series, monitor.grid, *rates)
        with self._lock:
            known, scorer = self._kept.get(champion.monitor, (None, None))
            if known != wanted or scorer is None:
                self._kept.pop(champion.monitor, None)  # the old one's memory first
                scorer = self._loaded(store, champion, monitor)
                self._kept[champion.monitor] = (wanted, scorer)
            return scorer

    def keep(self, monitors: Collection[str]) -> None:
        """Forget the champions of all other monitors."""
        with self._lock:
            for name in self._kept.keys() - set(monitors):
                del self._kept[name]

    def _loaded(self, store: Store, champion: Champion, monitor: MonitorConfig) -> "AnyScorer":
        if monitor.series is None:
            self._choose_backend()
        from jobs.scoring.run import load_scorer

        scorer = load_scorer(store, champion, monitor)
        _log.info("loaded the champion", extra={"facts": {"monitor": champion.monitor, "model": champion.model_id}})
        return scorer
