"""The rates of a changed configuration, compared with what the champions in force can resolve."""

from collections.abc import Mapping

from jobs.champions import load_scorer
from jobs.store import Champion, Store
from schemas.config import Config, MonitorConfig
from schemas.errors import ArtifactError, ConfigError, RateTooSmall


class ChampionRates:
    """Refuses rates that a champion cannot resolve, until a training makes one that can.

    Args:
        store: of the champions.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._refused_by: Mapping[str, int] = {}  # champion of each monitor whose rate was refused

    def refuse_unresolved(self, old: Config, new: Config) -> None:
        """Refuse a configuration with a changed rate that the champion of a monitor cannot resolve.

        Raises:
            ConfigError: If there is one; names the first.
        """
        self._refused_by = {}
        for name, monitor in new.monitors.items():
            before = old.monitors.get(name)
            champion = self._store.models.champion(name) if _rates(before) != _rates(monitor) else None
            if champion is not None and (problem := self._problem(champion, monitor)):
                self._refused_by = {name: champion.model_id}
                raise ConfigError(f"Monitor {name!r}: {problem}")

    def may_be_resolved(self) -> bool:
        """Return whether a monitor whose rate was refused has another champion now."""
        for name, model_id in self._refused_by.items():
            champion = self._store.models.champion(name)
            if champion is None or champion.model_id != model_id:
                return True
        return False

    def _problem(self, champion: Champion, monitor: MonitorConfig) -> str | None:
        """Return why a champion cannot score at the rates of a monitor; None if it can, or if the rate is not why."""
        try:
            load_scorer(self._store, champion, monitor)
        except RateTooSmall as exc:
            return str(exc)
        except ArtifactError:  # it needs another model whatever the rate; its runs report that
            return None
        return None


def _rates(monitor: MonitorConfig | None) -> tuple[object, ...]:
    """Return the settings that decide how many records are flagged."""
    if monitor is None:
        return ()
    return monitor.false_positive_rate, monitor.flag, monitor.false_discovery_rate
