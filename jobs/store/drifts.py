"""Drift: whether the newest records still look like those that the champion was made from.

Each scored batch leaves its counts in the bins of the champion's profile; those of the newest batches add up to a
window. A window is assessed once, and the next one when a tenth of it is new.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, Select, func, insert, select

from jobs.databases import reading, writing
from jobs.store.batch_result import summed
from jobs.store.events import NewEvent, end_event, start_event
from jobs.store.locking import lock_monitor
from jobs.store.requests import add_request
from jobs.wording import counted_noun
from schemas.config import MonitorConfig
from schemas.tables import batch_profiles, drift_features, drifts, retrain_requests

if TYPE_CHECKING:
    from detector.core.drift import Drift
    from jobs.store import Store

REASON = "drift"
"""Of a retrain request that drift makes."""

_NEW_SHARE = 0.1
_NAMED = 5
_BATCHES_AT_ONCE = 100


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
class Response:
    """What follows where a window has drifted.

    Attributes:
        message: for people.
        tell: channels that hear of a drift when it begins.
        cooldown: least time between two trainings that drift asks for; None where it asks for none.
    """

    message: str
    tell: tuple[str, ...] = ()
    cooldown: timedelta | None = None


class Drifts:
    """Assessments of every monitor.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def profile_window(self, monitor: str, model_id: int, records: int) -> ProfileWindow | None:
        """The newest batches of a model that hold so many records together.

        Returns:
            The window; None where the batches hold fewer, or too little is new since the last assessment.
        """
        with reading(self.engine) as connection:
            assessed = _assessed_upto(connection, monitor, model_id)
            with connection.execute(_profiles(monitor, model_id)) as rows:
                found = _until(records, rows)
        total = sum(row.records for row in found)
        new = sum(row.records for row in found if row.batch_id > assessed)
        if total < records or new < _NEW_SHARE * records:
            return None
        counts = summed([row.counts for row in found])
        return ProfileWindow(monitor, model_id, found[-1].batch_id, found[0].batch_id, total, counts)

    def add(self, window: ProfileWindow, drift: "Drift", response: Response, at: datetime) -> bool:
        """Record an assessment with what follows from it; False where another process did so.

        An event begins with the first window that has drifted. It ends with one that has not, and shares no batch
        with those that had; and with the first window of another model.
        """
        with writing(self.engine) as connection:
            lock_monitor(connection, window.monitor)
            if _assessed_upto(connection, window.monitor, window.model_id) >= window.upto_batch:
                return False
            event = NewEvent("drift", response.message, window.monitor, counts=_event_counts(window, drift))
            if _ends_earlier(connection, window, drift):
                end_event(connection, event, at)
            _insert(connection, window, drift, at)
            if drift.is_drift:
                start_event(connection, event, at, response.tell)
                _ask_retraining(connection, window.monitor, response.cooldown, at)
        return True


def assess_drift(store: "Store", name: str, monitor: MonitorConfig, clock: Callable[[], datetime]) -> "Drift | None":
    """Assess the newest records that the champion has scored; on drift, say so and ask for a training as configured.

    Args:
        store: the service's own database.
        name: of the monitor.
        monitor: its settings.
        clock: the time now.

    Returns:
        How far they moved; None where they are too few, too few of them are new, or the champion has no profile.

    Raises:
        ArtifactError: where the champion's profile is not as it was written.
    """
    champion = store.models.champion(name)
    window = None if champion is None else store.drifts.profile_window(name, champion.model_id, monitor.drift.records)
    if window is None:
        return None
    from detector.core.drift import DriftRule, Profile, assess

    profile = Profile.from_state(store.models.get(window.model_id).about.profile)
    if profile is None:
        return None
    asked = monitor.drift
    drift = assess(profile, window.counts, DriftRule(asked.level, asked.distance, asked.psi))
    cooldown = monitor.retrain.cooldown if monitor.retrain.on_drift else None
    response = Response(drift_sentence(name, window.model_id, drift), monitor.channels, cooldown)
    return drift if store.drifts.add(window, drift, response, clock()) else None


def drift_sentence(monitor: str, model_id: int, drift: "Drift") -> str:
    """What drifted, for people."""
    records = counted_noun(drift.records, "record")
    about = f"the newest {records} of monitor {monitor!r}"
    if not drift.is_drift:
        return f"No drift: {about} look like those that model {model_id} was made from."
    named = [f"{feature} (stability index {drift.psi[feature]:.2g})" for feature in drift.features[:_NAMED]]
    named += [f"{len(drift.features) - _NAMED} more"] if len(drift.features) > _NAMED else []
    scores = f"p-values lie {drift.ks_statistic:.2g} from uniform" if drift.is_score_drift else ""
    what = "; ".join(filter(None, [", ".join(named), scores]))
    return f"Drift: {about} no longer look like those that model {model_id} was made from: {what}."


def _profiles(monitor: str, model_id: int) -> Select[Any]:
    """The batches of a model, newest first; those that hold nothing are left out. Read page by page."""
    c = batch_profiles.c
    is_wanted = (c.monitor == monitor) & (c.model_id == model_id) & (c.records > 0)
    wanted = select(c.batch_id, c.records, c.counts).where(is_wanted).order_by(c.batch_id.desc())
    return wanted.execution_options(yield_per=_BATCHES_AT_ONCE)


def _until(records: int, rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    """The first rows that hold so many records together, or all."""
    taken, total = [], 0
    for row in rows:
        taken.append(row)
        total += row.records
        if total >= records:
            break
    return taken


def _assessed_upto(connection: Connection, monitor: str, model_id: int, *, only_drifted: bool = False) -> int:
    """The newest batch in an assessment of a model; 0 where there is none."""
    d = drifts.c
    wanted = select(func.max(d.upto_batch)).where(d.monitor == monitor, d.model_id == model_id)
    return int(connection.scalar(wanted.where(d.is_drift) if only_drifted else wanted) or 0)


def _ends_earlier(connection: Connection, window: ProfileWindow, drift: "Drift") -> bool:
    """Whether a drift that went on before this window is over."""
    monitor, model_id = window.monitor, window.model_id
    is_first = not _assessed_upto(connection, monitor, model_id)
    is_apart = window.from_batch > _assessed_upto(connection, monitor, model_id, only_drifted=True)
    return is_first or (is_apart and not drift.is_drift)


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
    drift_id = connection.execute(insert(drifts).values(row).returning(drifts.c.id)).scalar_one()
    features = [{"drift_id": drift_id, "feature": name, "psi": psi} for name, psi in drift.psi.items()]
    connection.execute(insert(drift_features), features)


def _event_counts(window: ProfileWindow, drift: "Drift") -> dict[str, Any]:
    indexes = {feature: drift.psi[feature] for feature in drift.features}
    return {"model_id": window.model_id, "records": window.records, "psi": indexes, "ks": drift.ks_statistic}


def _ask_retraining(connection: Connection, monitor: str, cooldown: timedelta | None, at: datetime) -> None:
    """Ask for a training, unless drift has asked for one within the cooldown."""
    if cooldown is None:
        return
    c = retrain_requests.c
    is_recent = (c.monitor == monitor) & (c.reason == REASON) & (c.requested_at > at - cooldown)
    if connection.scalar(select(c.id).where(is_recent).limit(1)) is None:
        add_request(connection, monitor, REASON, at)
