"""Which records and features of a monitor to show."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.store import StoredAnomaly, StoredIncident
from schemas.config import MonitorConfig
from schemas.errors import UsageError
from schemas.nearest import nearest_name

MAX_CHANNELS = 4
MAX_CAUSES = 3
_MIN_CAUSE_SHARE = 0.15  # of the largest cause


@dataclass(frozen=True)
class Selection:
    """The records of a monitor to show.

    Attributes:
        since: the earliest time; None for the newest records.
        until: the latest time, inclusive; None for no bound.
        entity: the only entity; None to choose one, or all if the model ignores entities.
        features: to draw; none to draw those that are named as causes.
    """

    since: datetime | None = None
    until: datetime | None = None
    entity: str | None = None
    features: tuple[str, ...] = ()

    def check(self, monitor_name: str, monitor: MonitorConfig) -> None:
        """Raise an error if the monitor lacks a column that the selection needs.

        Raises:
            UsageError: If it does, or if the range ends before it starts.
        """
        names = monitor.features.names
        for feature in self.features:
            if feature not in names:
                near = nearest_name(feature, names)
                hint = f"The nearest is {near!r}." if near else f"It has: {', '.join(names)}."
                raise UsageError(f"Monitor {monitor_name!r} has no feature {feature!r}. {hint}")
        if monitor.time is None and (self.since is not None or self.until is not None):
            msg = (
                f"Monitor {monitor_name!r} has no column of times, so no range of time can be drawn. Leave out --since "
                "and --until, or name the column as `time` in config.toml."
            )
            raise UsageError(msg)
        if monitor.entity is None and self.entity is not None:
            msg = (
                f"Monitor {monitor_name!r} has no column of entities. Leave out --entity, or name the column as "
                "`entity` in config.toml."
            )
            raise UsageError(msg)
        if self.since is not None and self.until is not None and self.until < self.since:
            msg = f"The range ends at {self.until}, before its start {self.since}. Swap the two."
            raise UsageError(msg)


def features_to_draw(
    chosen: Sequence[str], incidents: Iterable[StoredIncident], flagged: Iterable[StoredAnomaly], monitor: MonitorConfig
) -> tuple[str, ...]:
    """Return the chosen features, or those named as causes; without causes the first ones, numbers before others."""
    if chosen:
        return tuple(dict.fromkeys(chosen))
    features = monitor.features
    by_share: dict[str, float] = {}
    for incident in incidents:
        for name in causes_to_draw(incident):
            by_share[name] = max(by_share.get(name, 0.0), _share(incident, name))
    if not by_share:
        counts = Counter(row.top_feature for row in flagged if row.top_feature is not None)
        by_share = {name: float(count) for name, count in counts.items()}
    causes = [name for name in sorted(by_share, key=lambda name: -by_share[name]) if name in features.names]
    if causes:
        return tuple(causes[:MAX_CHANNELS])
    numbers = [name for name in features.names if name in features.numeric]
    return tuple([*numbers, *(name for name in features.names if name not in numbers)][:MAX_CAUSES])


def causes_to_draw(incident: StoredIncident) -> list[str]:
    """Return the features with the largest shares of an incident; a return to normal counts only without others."""
    causes = [cause for cause in incident.causes if not cause.get("is_return")] or list(incident.causes)
    largest = max((cause["share"] or 0.0 for cause in causes), default=0.0)
    return [cause["feature"] for cause in causes if (cause["share"] or 0.0) >= _MIN_CAUSE_SHARE * largest][:MAX_CAUSES]


def _share(incident: StoredIncident, name: str) -> float:
    return max(cause["share"] or 0.0 for cause in incident.causes if cause["feature"] == name)
