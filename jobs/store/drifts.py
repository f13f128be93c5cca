"""Drift assessments: windows of scored batches, compared with the profile of their model.

Each scored batch leaves its counts in the bins of the champion's profile. The counts of the newest batches add up to
a window. A window is assessed once, and the next one when a tenth of it is new.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, Select, func, insert, select

from jobs.databases import reading, writing
from jobs.store.batch_result import summed
from jobs.store.events import EventLog, NewEvent
from jobs.store.locking import lock_monitor
from jobs.store.numbering import insert_numbered
from jobs.store.requests import add_request
from schemas.tables import batch_profiles, drift_features, drifts, retrain_requests

if TYPE_CHECKING:
    from detector.core.drift import Drift

_MIN_NEW_SHARE = 0.1
_BATCHES_PER_FETCH = 100
_P_VALUES = "p_values"  # that `detector.core.drift` counts p-values under
_REASON = "drift"  # of a retrain request that drift causes


@dataclass(frozen=True)
class ProfileWindow:
    """The newest batches of a model, and their records counted in the bins of its profile."""

    monitor: str
    model_id: int
    from_batch: int
    upto_batch: int
    records: int
    counts: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class CountedPValues:
    """The p-values of scored records, counted in the bins of a profile."""

    records: int
    p_values: Sequence[int]


@dataclass(frozen=True)
class DriftResponse:
    """The response to a window that has drifted.

    Attributes:
        message: of the event.
        channels: alerted when a drift begins.
        cooldown: the minimum time between two retrain requests because of drift; None for no requests.
    """

    message: str
    channels: tuple[str, ...] = ()
    cooldown: timedelta | None = None


class Drifts:
    """The drift assessments of every monitor.

    Args:
        engine: of the store's database.
        event_log: writes events.
    """

    def __init__(self, engine: Engine, event_log: EventLog) -> None:
        self.engine = engine
        self._event_log = event_log

    def next_window(self, monitor: str, model_id: int, records: int) -> ProfileWindow | None:
        """Return the newest batches of a model that hold at least a number of records together.

        Returns:
            The window; None if the batches hold fewer records, or too few are new since the last assessment.
        """
        with reading(self.engine) as connection:
            assessed_upto = _assessed_upto(connection, monitor, model_id)
            with connection.execute(_newest_profiles(monitor, model_id)) as rows:
                profiles = _take_records(records, rows)
        total = sum(row.records for row in profiles)
        new = sum(row.records for row in profiles if row.batch_id > assessed_upto)
        if total < records or new < _MIN_NEW_SHARE * records:
            return None
        counts = summed([row.counts for row in profiles])
        return ProfileWindow(monitor, model_id, profiles[-1].batch_id, profiles[0].batch_id, total, counts)

    def newest_counts(self, monitor: str, model_id: int, batches: int) -> CountedPValues | None:
        """Return the p-values of the records in the newest batches of a model; None if there are none."""
        with reading(self.engine) as connection:
            rows = connection.execute(_newest_profiles(monitor, model_id).limit(batches)).all()
        counted = [(row.records, row.counts[_P_VALUES]) for row in rows if _P_VALUES in row.counts]
        if not counted:
            return None
        records, bins = zip(*counted, strict=True)
        return CountedPValues(sum(records), [sum(counts) for counts in zip(*bins, strict=True)])

    def add(self, window: ProfileWindow, drift: "Drift", response: DriftResponse, at: datetime) -> bool:
        """Record an assessment with its event and retrain request; return False if another process has recorded it.

        An event begins with the first window that has drifted. It ends with a window that has not, and shares no batch
        with one that had; it also ends with the first window of another model.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, window.monitor)
            if _assessed_upto(connection, window.monitor, window.model_id) >= window.upto_batch:
                return False
            event = NewEvent("drift", response.message, window.monitor, counts=_event_counts(window, drift))
            if _ends_earlier_drift(connection, window, drift):
                self._event_log.close(connection, event, at)
            _insert(connection, window, drift, at)
            if drift.is_drift:
                self._event_log.open(connection, event, at, response.channels)
                _request_training(connection, window.monitor, response.cooldown, at)
        return True


def _newest_profiles(monitor: str, model_id: int) -> Select[Any]:
    """Return the select of the batches of a model that hold records, newest first, to be fetched in parts."""
    c = batch_profiles.c
    has_records = (c.monitor == monitor) & (c.model_id == model_id) & (c.records > 0)
    newest = select(c.batch_id, c.records, c.counts).where(has_records).order_by(c.batch_id.desc())
    return newest.execution_options(yield_per=_BATCHES_PER_FETCH)


def _take_records(records: int, rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    """Return the first rows that hold at least a number of records together, or all rows."""
    taken, total = [], 0
    for row in rows:
        taken.append(row)
        total += row.records
        if total >= records:
            break
    return taken


def _assessed_upto(connection: Connection, monitor: str, model_id: int, *, only_drifted: bool = False) -> int:
    """Return the newest batch in an assessment of a model, or 0 if there is none."""
    d = drifts.c
    newest = select(func.max(d.upto_batch)).where(d.monitor == monitor, d.model_id == model_id)
    return int(connection.scalar(newest.where(d.is_drift) if only_drifted else newest) or 0)


def _ends_earlier_drift(connection: Connection, window: ProfileWindow, drift: "Drift") -> bool:
    """Return whether a window ends the drift that was ongoing before it."""
    monitor, model_id = window.monitor, window.model_id
    is_first = not _assessed_upto(connection, monitor, model_id)
    is_disjoint = window.from_batch > _assessed_upto(connection, monitor, model_id, only_drifted=True)
    return is_first or (is_disjoint and not drift.is_drift)


def _insert(connection: Connection, window: ProfileWindow, drift: "Drift", at: datetime) -> None:
    row = {
        "monitor": window.monitor,
        "model_id": window.model_id,
        "from_batch": window.from_batch,
        "upto_batch": window.upto_batch,
        "records": window.records,
        "assessed_at": at,
        "ks_statistic": drift.ks_statistic,
        "ks_p_value": drift.ks_p_value,
        "max_psi": max(drift.psi.values()),
        "top_feature": next(iter(drift.psi)),
        "is_drift": drift.is_drift,
    }
    drift_id = insert_numbered(connection, drifts, row)
    features = [{"drift_id": drift_id, "feature": name, "psi": psi} for name, psi in drift.psi.items()]
    connection.execute(insert(drift_features), features)


def _event_counts(window: ProfileWindow, drift: "Drift") -> dict[str, Any]:
    indexes = {feature: drift.psi[feature] for feature in drift.features}
    return {"model_id": window.model_id, "records": window.records, "psi": indexes, "ks": drift.ks_statistic}


def _request_training(connection: Connection, monitor: str, cooldown: timedelta | None, at: datetime) -> None:
    """Request a training, unless drift has requested one within the cooldown."""
    if cooldown is None:
        return
    c = retrain_requests.c
    is_recent = (c.monitor == monitor) & (c.reason == _REASON) & (c.requested_at > at - cooldown)
    if connection.scalar(select(c.id).where(is_recent).limit(1)) is None:
        add_request(connection, monitor, _REASON, at)
