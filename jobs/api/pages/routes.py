"""Routes of pages. Reading a page changes nothing; forms post a change and return to the page."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from jobs import status_texts
from jobs.api.dependencies import CallerOf, MonitorName, Service
from jobs.api.pages import session
from jobs.api.pages.fleet import DAYS_SHOWN, day_bars, fleet_rows
from jobs.api.pages.forms import Form, SignInForm
from jobs.api.pages.incident_picture import MEDIA_TYPE, Look, ThemeName, incident_channels, incident_picture
from jobs.api.pages.latent_map import HEIGHT, WIDTH, ModelMap, model_map
from jobs.api.pages.model import model_charts
from jobs.api.pages.monitor import DAY_CHOICES, INCIDENTS_PER_PAGE, LANES_PER_PAGE, MonitorView, monitor_incidents
from jobs.api.pages.record import record_in_table
from jobs.api.pages.rendering import PageRoute, address, back_to, page
from jobs.api.pages.shown import ShownAnomaly, ShownIncident, ShownModel
from jobs.api.pages.slow_work import ResultCache, SlowWork
from jobs.api.pages.static_files import static_file
from jobs.api.parameters import Body, Id, Text
from jobs.api.problems import described
from jobs.reporting.model_sections import COMPARISON, model_sections
from jobs.similar_incidents import similar_incidents
from jobs.store import (
    AlertQuery,
    AnomalyQuery,
    EventQuery,
    IncidentQuery,
    RequestQuery,
    StoredIncident,
)
from jobs.store.api_keys import holder
from jobs.store.event_kinds import EventKind
from jobs.store.incident_notes import handling_of
from schemas.errors import PlumblineError
from schemas.labels import LABELS


async def _pictures(request: Request) -> ResultCache[bytes]:
    cache: ResultCache[bytes] = request.app.state.pictures
    return cache


async def _maps(request: Request) -> ResultCache[ModelMap]:
    cache: ResultCache[ModelMap] = request.app.state.maps
    return cache


async def _record_reads(request: Request) -> SlowWork:
    reads: SlowWork = request.app.state.record_reads
    return reads


Pictures = Annotated[ResultCache[bytes], Depends(_pictures)]
Maps = Annotated[ResultCache[ModelMap], Depends(_maps)]
RecordReads = Annotated[SlowWork, Depends(_record_reads)]
router = APIRouter(route_class=PageRoute, include_in_schema=False)
_MAP_SECONDS = 300  # for which a map is kept
_PER_PAGE, _ALERTS_SHOWN, _NEAR_INCIDENTS, _INCIDENTS_LOOKED_AT = 50, 20, 10, 200


class AlertsPage(Body):
    """The state of the list of alerts."""

    before: Id | None = None
    tested: Text | None = None
    """The channel that has just accepted a test message."""
    monitor: Text | None = None
    kind: Text | None = None


class ListPage(Body):
    """The state of a list: its filters, and the id of the row before its first."""

    monitor: Text | None = None
    kind: EventKind | None = None
    before: Id | None = None


@router.get("/")
def show_fleet(request: Request, service: Service) -> Response:
    """Show the state of every monitor."""
    return page(request, "fleet.html", rows=fleet_rows(service), at=service.clock(), days=DAYS_SHOWN)


@router.get("/page/monitors/{name}")
def show_monitor(
    request: Request, name: MonitorName, view: Annotated[MonitorView, Query()], service: Service
) -> Response:
    """Show the incidents of a monitor over time."""
    at, settings = service.clock(), service.settings(name)
    shown, overview = monitor_incidents(service, name, view), service.store.overviews.get(name, at)
    return page(
        request,
        "monitor.html",
        name=name,
        view=view,
        shown=shown,
        handling=service.store.incident_notes.handling([incident.id for incident in shown.incidents]),
        overview=overview,
        last_run=status_texts.last_run(overview, at),
        next_run=status_texts.next_run(overview, settings, at),
        notes=list(status_texts.notes(overview, at)),
        rate=settings.asked_rate,
        days=day_bars(service, name, settings.asked_rate, view.days, at),
        day_choices=DAY_CHOICES,
        lanes_per_page=LANES_PER_PAGE,
        incidents_per_page=INCIDENTS_PER_PAGE,
        has_entities=service.config.monitor(name).entity is not None,
        requests=service.store.requests.page(RequestQuery(monitor=name, limit=3)),
    )


@router.post("/page/monitors/{name}/retrain")
def request_training(name: MonitorName, form: Form, service: Service, caller: CallerOf) -> Response:
    """Queue a training."""
    service.store.requests.add(name, form.get("reason", "") or "page", service.clock(), caller.name)
    return back_to(address("monitors", name))


@router.get("/page/incidents/{incident_id}")
def show_incident_page(request: Request, incident: ShownIncident, service: Service) -> Response:
    """Show an incident: its causes, its flagged records, and what was alerted."""
    near = IncidentQuery(monitor=incident.monitor, entity=incident.entity, limit=_NEAR_INCIDENTS)
    notes = service.store.incident_notes.of(incident.id)
    rows = AnomalyQuery(incident_id=incident.id, is_current=None, limit=_PER_PAGE)
    return page(
        request,
        "incident.html",
        incident=incident,
        rows=service.store.anomalies.page(rows),
        alerts=service.store.outbox.page(AlertQuery(incident_id=incident.id, limit=_ALERTS_SHOWN)),
        near=[item for item in service.store.incidents.page(near) if item.id != incident.id],
        notes=notes,
        handling=handling_of(notes),
        alike=similar_incidents(incident, service.store),
        labels=LABELS,
        units=_units(service, incident.monitor),
    )


@router.get("/page/incidents/{incident_id}/{theme}.svg")
async def draw_incident(
    request: Request,
    incident: ShownIncident,
    theme: ThemeName,
    service: Service,
    pictures: Pictures,
    *,
    narrow: bool = False,
) -> Response:
    """Draw the channels of an incident; a picture with the reason if they cannot be drawn."""
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}  # of the picture alone
    try:
        picture = await incident_picture(pictures, service, incident, Look(theme, narrow))
        return Response(picture, 200, policy, MEDIA_TYPE)
    except (PlumblineError, HTTPException) as exc:
        response = page(request, "no_picture.svg", reason=described(exc)[1], theme=theme)
        return Response(response.body, 200, policy, MEDIA_TYPE)


@router.get("/page/incidents/{incident_id}/channels.json")
async def show_channels(incident: ShownIncident, service: Service, pictures: Pictures) -> Response:
    """Return the numbers of the channels of an incident, from which the page's script draws them."""
    return Response(await incident_channels(pictures, service, incident), 200, media_type="application/json")


@router.post("/page/incidents/{incident_id}/label")
def label_incident(incident: ShownIncident, form: Form, service: Service, caller: CallerOf) -> Response:
    """Label every record of an incident."""
    service.store.incidents.label(incident.id, form.get("label", ""), service.clock(), caller.name)
    return back_to(address("incidents", incident.id))


@router.get("/page/records/{anomaly_id}")
def show_record(request: Request, row: ShownAnomaly, service: Service) -> Response:
    """Show a flagged record: its scores, and its causes with recorded and expected values."""
    return page(request, "record.html", row=row, labels=LABELS, units=_units(service, row.monitor))


@router.get("/page/records/{anomaly_id}/row")
async def show_row(request: Request, row: ShownAnomaly, service: Service, reads: RecordReads) -> Response:
    """Show a flagged record in its table, with normal records near it, and its score with other values."""
    shown = await reads.run(partial(record_in_table, service, row, request.query_params))
    if shown is None:
        raise HTTPException(404, f"Record {row.record_key} is no longer in the table of monitor {row.monitor!r}.")
    units = _units(service, row.monitor)
    return page(request, "row.html", status=422 if shown.faults else 200, row=row, shown=shown, units=units)


@router.post("/page/records/{anomaly_id}/label")
def label_record(row: ShownAnomaly, form: Form, service: Service, caller: CallerOf) -> Response:
    """Label a record."""
    service.store.anomalies.label(row.id, form.get("label", ""), service.clock(), caller.name)
    return back_to(address("records", row.id))


@router.get("/page/events")
def show_events(request: Request, state: Annotated[ListPage, Query()], service: Service, caller: CallerOf) -> Response:
    """List events, newest first."""
    query = EventQuery(
        monitor=state.monitor, monitors=caller.monitors, kind=state.kind, limit=_PER_PAGE, before_id=state.before
    )
    return page(request, "events.html", items=service.store.events.page(query), state=state, per_page=_PER_PAGE)


@router.get("/page/alerts")
def show_alerts(
    request: Request, state: Annotated[AlertsPage, Query()], service: Service, caller: CallerOf
) -> Response:
    """List alerts, newest first: sent, waiting and failed."""
    items = service.store.outbox.page(AlertQuery(monitors=caller.monitors, limit=_PER_PAGE, before_id=state.before))
    channels = sorted(service.config.alerts.channels) if caller.may_manage else []
    tested = state.tested if state.tested in channels else None
    held_back = () if state.before else _held_back(service, caller)
    return page(
        request, "alerts.html", items=items, per_page=_PER_PAGE, channels=channels, tested=tested, held_back=held_back
    )


def _held_back(service: Service, caller: CallerOf) -> list[StoredIncident]:
    """Return those of the newest incidents that nobody is alerted of."""
    newest = service.store.incidents.page(IncidentQuery(monitors=caller.monitors, limit=_INCIDENTS_LOOKED_AT))
    return [incident for incident in newest if incident.held_back is not None][:_ALERTS_SHOWN]


@router.get("/page/monitors/{name}/models")
def show_models(request: Request, name: MonitorName, service: Service) -> Response:
    """List the models of a monitor, newest first."""
    return page(request, "models.html", name=name, models=service.store.models.all(name))


@router.get("/page/models/{model_id}")
def show_model(request: Request, model: ShownModel, service: Service) -> Response:
    """Show a model: the numbers that decided whether it became the champion, its charts and its card."""
    sections = dict(model_sections(model))
    decision = sections.pop(COMPARISON)
    charts = model_charts(service, model)
    settings = service.config.monitors.get(model.monitor)
    has_map = model.state == "champion" and settings is not None and settings.series is None
    return page(
        request, "model.html", model=model, sections=sections, decision=decision, charts=charts, has_map=has_map
    )


@router.get("/page/models/{model_id}/map")
async def show_map(
    request: Request, model: ShownModel, service: Service, maps: Maps, *, synthetic: bool = False
) -> Response:
    """Show where the latents of a champion place its newest and its flagged records."""
    minute = int(service.clock().timestamp()) // _MAP_SECONDS
    draw = partial(model_map, service, model, with_synthetic=synthetic)
    shown = await maps.get((model.id, synthetic, minute), draw)
    return page(request, "map.html", model=model, shown=shown, synthetic=synthetic, width=WIDTH, height=HEIGHT)


@router.post("/page/models/{model_id}/promote")
def promote_model(model: ShownModel, form: Form, service: Service, caller: CallerOf) -> Response:  # noqa: ARG001 - checked
    """Make a model the champion."""
    if not caller.may_promote:
        raise HTTPException(403, "This key may not promote models. Sign in with a key of scope admin.")
    service.store.models.promote(model.id, service.clock(), actor=caller.name)
    return back_to(address("models", model.id))


@router.post("/page/monitors/{name}/models/roll-back")
def roll_back_model(name: MonitorName, form: Form, service: Service, caller: CallerOf) -> Response:  # noqa: ARG001 - checked
    """Make the previous champion champion again."""
    if not caller.may_promote:
        raise HTTPException(403, "This key may not roll back models. Sign in with a key of scope admin.")
    return back_to(address("models", service.store.models.roll_back(name, service.clock(), caller.name)))


@router.get(session.LOGIN_PATH)
def show_sign_in(request: Request, to: str = "/") -> Response:
    """Show the form for a key."""
    return page(request, "sign_in.html", to=to, problem=None)


@router.post(session.LOGIN_PATH)
def sign_in(request: Request, form: SignInForm, service: Service) -> Response:
    """Keep a valid key in the browser, and return to the page that was asked for."""
    secret, to = form.get("key", "").strip(), form.get("to", "/")
    if holder(service.store.api_keys.all(), secret, service.clock()) is None:
        problem = "This is not a valid key. List the keys: plumbline keys list"
        return page(request, "sign_in.html", status=403, to=to, problem=problem)
    response = back_to(to if session.is_page(to.partition("?")[0]) else "/")
    session.start(response, secret, is_encrypted=request.headers.get("origin", "").startswith("https:"))
    return response


@router.post("/page/sign-out")
def sign_out(request: Request, form: SignInForm) -> Response:  # noqa: ARG001 - sent by this site
    """Remove the key from the browser."""
    response = back_to(session.LOGIN_PATH)
    session.end(response)
    return response


@router.get("/page/static/{name}")
def show_static_file(name: str, v: str | None = None) -> Response:
    """Return a style sheet, a script or the icon."""
    response = static_file(name, v)
    if response is None:
        raise HTTPException(404, "There is no such file.")
    return response


@router.get("/page/{path:path}")
def show_nothing(path: str) -> Response:
    """Report that a page does not exist."""
    raise HTTPException(404, f"There is no page {path!r}. The fleet at / links to every page.")


def _units(service: Service, monitor: str) -> dict[str, str]:
    """Return the units of a monitor's features; none if it left the configuration."""
    settings = service.config.monitors.get(monitor)
    return {} if settings is None else dict(settings.units)
