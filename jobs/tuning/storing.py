"""Stores settings in place of those of the configuration, once they are known to work."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.store import Store
from schemas.config import MonitorConfig
from schemas.errors import UsageError
from schemas.tuning import Tuning, tuned

if TYPE_CHECKING:
    from detector.core.scorer import Scorer


def refuse_unfit(name: str, monitor: MonitorConfig, tuning: Tuning, scorer: "Callable[[], Scorer]") -> MonitorConfig:
    """Return the settings of a monitor with those of a tuning in their place, if its champion can score at them.

    Args:
        name: of the monitor.
        monitor: its settings in the configuration.
        tuning: to try.
        scorer: loads the champion; called if the rate changes.

    Raises:
        ConfigError: If the settings do not fit the monitor.
        UsageError: If the rate of the monitor decides nothing.
        RateTooSmall: If the champion cannot resolve the rate.
        NoChampion: If no model has been trained.
    """
    settings = tuned(name, monitor, tuning)
    if tuning.false_positive_rate is not None:
        if monitor.asked_rate is None:
            msg = f"Monitor {name!r} does not flag by a false-positive rate, so another rate changes nothing."
            raise UsageError(msg)
        scorer().at_rate(tuning.false_positive_rate)
    return settings


def store_tuning(store: Store, name: str, tuning: Tuning, at: datetime, actor: str) -> None:
    """Store settings of a monitor in place of all that were stored before; see `refuse_unfit`.

    Raises:
        UsageError: If nothing differs from the configuration.
    """
    if not tuning.settings:
        msg = f"No setting of monitor {name!r} differs from config.toml, so there is nothing to store."
        raise UsageError(msg)
    store.tunings.put(name, tuning.settings, at, actor)
