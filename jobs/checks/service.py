"""Checks of the schedules and of the alert channels."""

from collections.abc import Callable, Iterator
from functools import partial

from jobs.alerting import check_address
from jobs.checks.finding import Finding
from jobs.timing import Timing, check_timing
from schemas.config import Config
from schemas.errors import ConfigError


def check_service(config: Config) -> Iterator[Finding]:
    """Yield the problems of the monitors' schedules and of the alert channels."""
    for name, monitor in config.monitors.items():
        openings = [window.cron for window in monitor.maintenance]
        for schedule in (monitor.score_every, monitor.retrain.every, *openings):
            if schedule is not None:
                yield from _refusals(f"Monitor {name!r}", partial(check_timing, Timing(schedule, monitor.time_zone)))
    for name, address in config.alerts.channels.items():
        yield from _refusals(f"Channel {name!r}", partial(check_address, address))


def refuse_bad_service(config: Config) -> None:
    """Refuse a configuration with a wrong schedule or channel.

    Raises:
        ConfigError: If there is one; names the first.
    """
    for finding in check_service(config):
        raise ConfigError(finding.message)


def _refusals(place: str, check: Callable[[], None]) -> Iterator[Finding]:
    try:
        check()
    except ConfigError as exc:
        yield Finding("error", f"{place}: {exc}")
