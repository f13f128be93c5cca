"""The settings of monitors in force: those of the configuration, with what people stored in their place.

Each run reads them when it starts, so that every process uses the same ones.
"""

from collections.abc import Mapping
from contextlib import suppress

from jobs.store import Store, StoredTuning
from schemas.config import Config, MonitorConfig
from schemas.errors import ConfigError
from schemas.service import MaintenanceWindow


def settings_in_force(store: Store, name: str, monitor: MonitorConfig) -> MonitorConfig:
    """Return the settings of a monitor in force.

    Args:
        store: holds the stored settings and maintenance windows.
        name: of the monitor.
        monitor: its settings in the configuration.

    Raises:
        ConfigError: If the stored settings no longer fit the configuration.
        StoreError: If the store cannot be read.
    """
    windows = tuple(
        MaintenanceWindow(start=window.start_time, end=window.end_time, entity=window.entity)
        for window in store.maintenance_windows.of(name)
        if not window.is_cancelled
    )
    monitor = with_tuning(store, name, monitor)
    if not windows:
        return monitor
    from schemas.tuning import with_windows

    return with_windows(monitor, windows)


def with_tuning(store: Store, name: str, monitor: MonitorConfig) -> MonitorConfig:
    """Return the settings of a monitor with the stored ones in their place, without stored maintenance windows.

    Raises:
        ConfigError: If the stored settings no longer fit the configuration.
        StoreError: If the store cannot be read.
    """
    stored = store.tunings.get(name)
    return monitor if stored is None else _tuned(monitor, stored)


def _tuned(monitor: MonitorConfig, stored: StoredTuning) -> MonitorConfig:
    from schemas.tuning import Tuning, tuned

    name = stored.monitor
    try:
        return tuned(name, monitor, Tuning.model_validate(stored.settings))
    except ValueError as exc:  # a later version stored it
        raise ConfigError(_no_longer_fits(name, str(exc))) from None
    except ConfigError as exc:
        raise ConfigError(_no_longer_fits(name, str(exc))) from exc


def config_in_force(store: Store, config: Config) -> Config:
    """Return a configuration with the stored settings of every monitor in their place, without stored windows.

    Stored settings that no longer fit are left out: each run of the monitor fails and states why.

    Raises:
        StoreError: If the store cannot be read.
    """
    return config_with(store.tunings.all(), config)


def config_with(stored: Mapping[str, StoredTuning], config: Config) -> Config:
    """Return a configuration with stored settings in their place, likewise."""
    monitors = dict(config.monitors)
    for name in stored.keys() & monitors.keys():
        with suppress(ConfigError):
            monitors[name] = _tuned(monitors[name], stored[name])
    return config.model_copy(update={"monitors": monitors})


def refuse_unfit_tunings(store: Store, config: Config) -> None:
    """Refuse a configuration that stored settings do not fit.

    Raises:
        ConfigError: If there is one; names the first monitor.
        StoreError: If the store cannot be read.
    """
    stored = store.tunings.all()
    for name in sorted(stored.keys() & config.monitors.keys()):
        _tuned(config.monitors[name], stored[name])


def _no_longer_fits(name: str, reason: str) -> str:
    return (
        f"The settings stored for monitor {name!r} no longer fit config.toml. {reason} "
        f"To remove them: plumbline tune clear {name}"
    )
