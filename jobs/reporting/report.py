"""The report of a monitor, gathered from its table and the store as plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import make_url

from jobs.addresses import display_name
from jobs.kinds import kind_of
from jobs.kinds.card_text import Paragraph
from jobs.pictures.values import DailyRates, View
from jobs.reading.source import Source
from jobs.reporting.model_sections import model_sections
from jobs.reporting.selection import Selection
from jobs.reporting.views import ViewReader
from jobs.store import (
    AnomalyQuery,
    EventQuery,
    IncidentQuery,
    MonitorOverview,
    Store,
    StoredAnomaly,
    StoredEvent,
    StoredIncident,
    StoredModel,
)
from jobs.store.history import CauseCount, StoredDrift
from schemas.config import MonitorConfig
from schemas.errors import PlumblineError

DAYS_SHOWN = 30
_MAX_FLAGGED, _MAX_CAUSES, _MAX_DRIFTS, _MAX_EVENTS = 20, 10, 5, 20
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Illustrated:
    """An incident with the view of its records, or the reason why there is none."""

    incident: StoredIncident
    view: View | None
    problem: str | None = None


@dataclass(frozen=True)
class RateFound:
    """The share of flagged records compared with the configured rate.

    Attributes:
        asked: the configured false-positive rate; None if no rate decides.
        records: number of scored records past the training records.
        flagged: the flagged ones among them.
        since: their start; None if training records cannot be separated from others by time.
        daily: the last days.
    """

    asked: float | None
    records: int
    flagged: int
    since: datetime | None
    daily: DailyRates

    @property
    def found(self) -> float | None:
        """The share of flagged records; None without records."""
        return self.flagged / self.records if self.records else None

    @property
    def records_per_day(self) -> float | None:
        """The mean number of records on the days that have any; None without days."""
        return sum(self.daily.records) / len(self.daily.days) if self.daily.days else None


@dataclass(frozen=True)
class MonitorReport:
    """Everything that a report of a monitor shows."""

    monitor: str
    made_at: datetime
    watched: Mapping[str, str]
    overview: MonitorOverview
    model: StoredModel
    rate: RateFound
    incidents: Sequence[Illustrated]
    flagged: Sequence[StoredAnomaly]
    causes: Sequence[CauseCount]
    labels: Mapping[str, int]
    recent: View | None
    """The newest records."""
    recent_problem: str | None
    model_card: Mapping[str, Sequence[Paragraph]]
    drifts: Sequence[StoredDrift]
    events: Sequence[StoredEvent]


def read_report(reader: ViewReader, at: datetime, *, max_incidents: int = 5) -> MonitorReport:
    """Gather the report of a monitor as of a moment.

    Args:
        reader: of the views of the monitor.
        at: the time now.
        max_incidents: how many of the newest incidents to show.
    """
    source, store, name = reader.source, reader.store, reader.source.name
    model = store.models.get(reader.champion.model_id)
    incidents = store.incidents.page(IncidentQuery(monitor=name, limit=max_incidents))
    recent, problem = _viewed(lambda: reader.of_selection(Selection()))
    return MonitorReport(
        monitor=name,
        made_at=at,
        watched=watched_facts(source),
        overview=store.overviews.get(name, at),
        model=model,
        rate=_rate(source, store, model),
        incidents=[_illustrated(reader, incident) for incident in incidents],
        flagged=store.anomalies.page(AnomalyQuery(monitor=name, limit=_MAX_FLAGGED)),
        causes=store.history.causes(name, _MAX_CAUSES),
        labels=store.history.labels(name),
        recent=recent,
        recent_problem=problem,
        model_card=model_sections(model),
        drifts=store.history.drifts(name, _MAX_DRIFTS),
        events=store.events.page(EventQuery(monitor=name, limit=_MAX_EVENTS)),
    )


def watched_facts(source: Source) -> dict[str, str]:
    """Return what a monitor watches and how, for people; addresses without their passwords."""
    monitor = source.monitor
    features = {
        f"{kind} features": ", ".join(_with_unit(name, monitor) for name in names)
        for kind, names in monitor.features.by_type().items()
    }
    facts = {
        "database": display_name(make_url(source.engine.url)),
        "table": monitor.table or "a query",
        "key": ", ".join(monitor.key),
        "time": monitor.time or "",
        "entity": monitor.entity or "",
        **features,
        "normal records": monitor.normal or "all",
        "label": monitor.label or "",
        "model of": "series: a record with its past" if kind_of(monitor).past_columns(monitor) else "single records",
        "grid in time": monitor.grid or "",
        "flagged by": _decision(monitor),
        "schedule": monitor.score_every or "",
    }
    return {name: text for name, text in facts.items() if text}


def _with_unit(name: str, monitor: MonitorConfig) -> str:
    return f"{name} ({monitor.units[name]})" if name in monitor.units else name


def _decision(monitor: MonitorConfig) -> str:
    if monitor.flag != "rate":
        return f"false discovery rate {monitor.false_discovery_rate:.2%}"
    if monitor.threshold == "f_beta":
        return f"the threshold with the best F-{monitor.f_beta:g} on labelled records"
    rate = f"false-positive rate {monitor.false_positive_rate:.4g}"
    return rate + (", threshold follows the scores" if monitor.threshold == "online" else "")


def _viewed(read: Callable[[], View]) -> tuple[View | None, str | None]:
    """Return a view, or the reason why there is none: a table that changed or is away leaves the rest of a report."""
    try:
        return read(), None
    except PlumblineError as exc:
        return None, str(exc)


def _illustrated(reader: ViewReader, incident: StoredIncident) -> Illustrated:
    return Illustrated(incident, *_viewed(lambda: reader.of_incident(incident)))


def _rate(source: Source, store: Store, model: StoredModel) -> RateFound:
    monitor, name = source.monitor, source.name
    asked = monitor.asked_rate
    newest = store.history.newest_hour(name)
    days = [] if newest is None else store.history.days(name, newest - timedelta(days=DAYS_SHOWN - 1))
    daily = DailyRates([d.day for d in days], [d.records for d in days], [d.anomalies for d in days], asked)
    last = model.about.training.last_time
    since = datetime.fromisoformat(last) if last and monitor.time is not None else None
    counted = store.history.days(name, None if since is None else _next_hour(since))
    return RateFound(asked, sum(d.records for d in counted), sum(d.anomalies for d in counted), since, daily)


def _next_hour(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0) + _HOUR
