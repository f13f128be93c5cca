"""The tools that a language model may call: each reads, and none writes.

The docstring of a tool is its description, so it is written for the model that calls it.
"""

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from jobs.mcp.bounded import MAX_ITEMS, bounded
from schemas.labels import Label

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.store import MonitorOverview
    from schemas.config import Config, MonitorConfig

_RECORDS_SHOWN = 10
_DAYS_SHOWN = 10

Monitor: TypeAlias = Annotated[str, Field(description="Name of a monitor, from list_monitors.")]
AnyMonitor: TypeAlias = Annotated[str | None, Field(description="Name of a monitor; null for all.")]
Entity: TypeAlias = Annotated[str | None, Field(description="Only this entity, such as a machine; null for all.")]
_Time: TypeAlias = Annotated[datetime, AfterValidator(lambda time: time if time.tzinfo else time.replace(tzinfo=UTC))]
Since: TypeAlias = Annotated[_Time | None, Field(description="Only from this time on, in UTC unless it has an offset.")]
Until: TypeAlias = Annotated[_Time | None, Field(description="Only before this time, in UTC unless it has an offset.")]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=MAX_ITEMS, description="Number of items.")]
_MAX_ID = 2**63 - 1  # the largest integer of the databases
_BEFORE = "`next` of the page before; null for the first."
Before: TypeAlias = Annotated[int | None, Field(ge=1, le=_MAX_ID, description=_BEFORE)]
Id: TypeAlias = Annotated[int, Field(ge=1, le=_MAX_ID)]
_LabelFilter: TypeAlias = Annotated[Label | None, Field(description="Only those with this label; null for all.")]
_State: TypeAlias = Literal["open", "ended", "merged", "withdrawn"]


class Tools:
    """The tools on one configuration.

    Args:
        app: The configuration, its store and its watched tables.
    """

    def __init__(self, app: "App") -> None:
        self._app = app
        self._store = app.store
        self._heavy = threading.Lock()  # a diagnosis or a forecast holds a batch of records: one at a time

    @property
    def _config(self) -> "Config":
        """The configuration now, which may have been read again since the last call."""
        return self._app.config

    def list_monitors(self) -> dict[str, Any]:
        """List the monitors: watched table, features, rate, champion, lag, last day, open incidents."""
        from jobs.settings_in_force import config_in_force

        monitors = config_in_force(self._store, self._config).monitors
        overviews = self._store.overviews.of(monitors, self._app.clock())
        return bounded({"monitors": [_shown(name, monitors[name], overviews[name]) for name in monitors]})

    def show_monitor(self, monitor: Monitor) -> dict[str, Any]:
        """Show settings and status of a monitor, with what is wrong at the moment: failures, gaps, silent entities."""
        from jobs.status_texts import notes

        self._config.monitor(monitor)
        at = self._app.clock()
        overview = self._store.overviews.get(monitor, at)
        shown = _shown(monitor, self._app.monitor(monitor), overview)
        return bounded({**shown, "notices": list(notes(overview, at))})

    def list_incidents(
        self,
        monitor: AnyMonitor = None,
        entity: Entity = None,
        state: Annotated[_State | None, Field(description="Null for open and ended ones.")] = None,
        label: _LabelFilter = None,
        since: Since = None,
        until: Until = None,
        limit: Limit = 20,
        before: Before = None,
    ) -> dict[str, Any]:
        """List incidents, newest first: anomalies of one entity that are close in time, with their largest cause."""
        from jobs.store import IncidentQuery

        names = self._names(monitor)
        filters = {"entity": entity, "state": state, "label": label, "since": since, "until": until}
        query = IncidentQuery(monitors=names, limit=limit, before_id=before, **filters)  # type: ignore[arg-type]
        found = self._store.incidents.page(query)
        items = [{**vars(incident), "causes": incident.causes[:1]} for incident in found]
        return _page(items, limit, self._store.incidents.count(query))

    def show_incident(self, incident_id: Id) -> dict[str, Any]:
        """Show an incident: when, how severe, its causes with recorded and expected values, its first records."""
        from jobs.store import AnomalyQuery

        incident = self._store.incidents.get(incident_id)
        query = AnomalyQuery(incident_id=incident_id, limit=_RECORDS_SHOWN, order="most_anomalous")
        records = [_brief(vars(anomaly)) for anomaly in self._store.anomalies.page(query)]
        return bounded({"incident": incident, "most_anomalous_records": records})

    def list_anomalies(
        self,
        monitor: AnyMonitor = None,
        entity: Entity = None,
        incident_id: Id | None = None,
        label: _LabelFilter = None,
        since: Since = None,
        until: Until = None,
        limit: Limit = 20,
        before: Before = None,
    ) -> dict[str, Any]:
        """List flagged records, newest first, each with its key, time, score, p-value, severity and largest cause."""
        from jobs.store import AnomalyQuery

        filters = {"entity": entity, "label": label, "since": since, "until": until, "incident_id": incident_id}
        query = AnomalyQuery(monitors=self._names(monitor), limit=limit, before_id=before, **filters)  # type: ignore[arg-type]
        items = [_brief(vars(anomaly)) for anomaly in self._store.anomalies.page(query)]
        return _page(items, limit, self._store.anomalies.count(query))

    def show_anomaly(self, anomaly_id: Id) -> dict[str, Any]:
        """Show a flagged record with all of its causes: share in the score, recorded value, expected value."""
        return bounded(self._store.anomalies.get(anomaly_id))

    def list_events(
        self, monitor: AnyMonitor = None, since: Since = None, limit: Limit = 20, before: Before = None
    ) -> dict[str, Any]:
        """List events, newest first: gaps, silent entities, late records, drift, failed runs, refused models."""
        from jobs.store import EventQuery

        names = self._names(monitor)
        query = EventQuery(monitors=names, since=since, limit=limit, before_id=before)
        return _page([vars(event) for event in self._store.events.page(query)], limit)

    def diagnose(self, monitor: Monitor) -> dict[str, Any]:
        """Find why nothing is flagged, or far too much, each reason with what to change; takes seconds."""
        from jobs.diagnosis import Case, diagnose

        with self._heavy, self._app.open_source(monitor, self._app.monitor(monitor)) as source:
            case = Case(self._config, source, self._store, self._app.clock())
            problems = diagnose(case)
            counts = {"records": case.overview.records, "anomalies": case.overview.anomalies}
        return bounded({"monitor": monitor, **counts, "problems": problems})

    def forecast(self, monitor: Monitor) -> dict[str, Any]:
        """Count what the champion would flag and alert on history, also at other rates; reads the whole table."""
        from jobs.evaluation import forecast_monitor

        with self._heavy, self._app.open_source(monitor, self._app.monitor(monitor)) as source:
            forecast = forecast_monitor(source, self._store, now=self._app.clock())
        busiest = sorted(forecast.by_day.items(), key=lambda day: -day[1])[:_DAYS_SHOWN]
        rest = {"busiest_days": dict(busiest), "flagged_per_day": forecast.flagged_per_day}
        return bounded({**vars(forecast), **rest, "by_day": None, "rate_sentence": forecast.rate_sentence})

    def _names(self, monitor: str | None) -> list[str]:
        """Return the monitors to list."""
        if monitor is not None:
            self._config.monitor(monitor)
        return list(self._config.monitors) if monitor is None else [monitor]


def _shown(name: str, monitor: "MonitorConfig", status: "MonitorOverview") -> dict[str, Any]:
    """Return the settings that a reader needs, without the address of the source, and the status of a monitor."""
    named = {"table", "key", "time", "entity", "false_positive_rate", "score_every", "threshold"}
    settings = monitor.model_dump(include=named)
    return {"name": name, **settings, "features": vars(monitor.features), "status": status}


def _brief(anomaly: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of an anomaly for a list."""
    shown = ("id", "monitor", "record_key", "record_time", "entity", "anomaly_score", "p_value", "severity", "label")
    return {**{name: anomaly[name] for name in shown}, "causes": anomaly["attribution"][:1]}


def _page(items: list[dict[str, Any]], limit: int, total: int | None = None) -> dict[str, Any]:
    """Return a page of a list, and where the next one begins."""
    more = items[-1]["id"] if len(items) == limit else None
    return bounded({"items": items, "next": more, **({} if total is None else {"total": total})})
