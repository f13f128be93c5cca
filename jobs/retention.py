"""Deletes the rows that monitors no longer keep: on demand, and by `serve` every hour."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.store import Store
from jobs.store.retention_limits import RetentionLimits
from schemas.config import Config, MonitorConfig

SERVICE = "service"
"""The name in reports of what belongs to no monitor."""

# A batch is last recounted in time for a rescoring at most a ninth later than `late_after`; see `next_recount`.
_LAST_RESCORING = 10 / 9
_SLACK = timedelta(days=1)


@dataclass(frozen=True)
class PruningReport:
    """The number of deleted rows by monitor and kind."""

    deleted: Mapping[str, Mapping[str, int]]

    @property
    def rows(self) -> int:
        """The number of all deleted rows."""
        return sum(count for kinds in self.deleted.values() for count in kinds.values())


def limits_of(config: Config, name: str, at: datetime) -> RetentionLimits:
    """Return what a monitor keeps now; whatever is configured, all that a rescoring may need is kept."""
    store, monitor = config.store, config.monitor(name)
    rescored = monitor.late_after * _LAST_RESCORING + _SLACK
    keep, details = (max(age, rescored) for age in (monitor.keep or store.keep, store.keep_details))
    flagged = None if store.keep_flagged is None else max(store.keep_flagged, rescored)
    return RetentionLimits(
        monitor=name,
        at=at,
        keep_after=at - keep,
        details_after=at - min(details, keep),
        trackers_after=at - rescored,
        flagged_after=None if flagged is None else at - flagged,
        retired_models=store.keep_models,
        drift_records=monitor.drift.records,
        late_after=monitor.late_after,
        max_batch_records=monitor.batch_size,
    )


def prune(
    config: Config,
    store: Store,
    clock: Callable[[], datetime],
    monitors: Mapping[str, MonitorConfig],
    should_stop: Callable[[], bool] = lambda: False,
) -> PruningReport:
    """Delete the old rows of monitors and of the service, and finish the deletion of deleted monitors."""
    store.monitors.purge()
    deleted = {SERVICE: store.retention.prune_service(clock() - config.store.keep)}
    for name in monitors:
        if should_stop():
            break
        deleted[name] = store.retention.prune(limits_of(config, name, clock()), should_stop)
    return PruningReport(deleted)


def preview_pruning(
    config: Config, store: Store, clock: Callable[[], datetime], monitors: Mapping[str, MonitorConfig]
) -> PruningReport:
    """Return the report that `prune` would return now; nothing is deleted."""
    counts = {SERVICE: store.retention.preview_service(clock() - config.store.keep)}
    counts |= {name: store.retention.preview(limits_of(config, name, clock())) for name in monitors}
    return PruningReport(counts)
