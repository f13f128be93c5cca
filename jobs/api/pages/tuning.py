"""The page on which the rate and the rules of alerts of a monitor are tried on its history, and stored."""

import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import ValidationError

from jobs.api.dependencies import CallerOf, MonitorName, Service
from jobs.api.pages.forms import Form
from jobs.api.pages.rendering import PageRoute, address, back_to, page
from jobs.api.pages.tuning_form import DAY_CHOICES, MAX_RATE_LOG, MIN_RATE_LOG, form_of, is_proposal, proposed
from jobs.api.previews import NothingToCompare
from jobs.api.problems import described
from jobs.api.service_view import ServiceView
from jobs.api.tuning import PreviewsOf, checked
from jobs.tuning.comparison import Comparison
from jobs.tuning.lines import config_lines, stored_lines
from jobs.tuning.preview import MAX_FLAGGED
from jobs.tuning.storing import store_tuning
from schemas.config import MonitorConfig
from schemas.errors import PlumblineError
from schemas.tuning import Tuning, tuned

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_MAX_DAYS = 366
_DEFAULT_DAYS = 7
_MAX_DIGITS = 10  # of a number that is read
_BAR_HEIGHT = 40.0


@dataclass(frozen=True)
class DayBars:
    """The alerts of a day, now and as proposed, as heights of bars."""

    day: date
    x: float
    now: int
    proposed: int
    now_height: float
    proposed_height: float


@dataclass(frozen=True)
class _Sent:
    """What the address of the page proposes."""

    tuning: Tuning
    shown: MonitorConfig
    days: int
    problem: str | None = None


@dataclass(frozen=True)
class _Preview:
    """A preview as far as it is: its result, or its progress, or why there is none."""

    comparison: Comparison | None = None
    progress: str | None = None
    problem: str | None = None
    can_apply: bool = False


async def _begun(work: Awaitable[Comparison | str]) -> _Preview:
    try:
        result = await work
    except NothingToCompare as exc:
        return _Preview(problem=described(exc)[1], can_apply=True)
    except (PlumblineError, HTTPException) as exc:
        return _Preview(problem=described(exc)[1])
    return _Preview(progress=result) if isinstance(result, str) else _Preview(result, can_apply=True)


@router.get("/page/monitors/{name}/tune")
async def show_tuning(request: Request, name: MonitorName, service: Service, previews: PreviewsOf) -> Response:
    """Show the form and, once it was sent, its settings next to those in force on the same history."""
    fields = dict(request.query_params)
    in_force = await previews.in_thread(lambda: service.settings(name))
    sent = _sent(name, fields, service, in_force)
    preview = _Preview(problem=sent.problem)
    if sent.problem is None and is_proposal(fields):
        key = (name, json.dumps(sent.tuning.settings), sent.days, in_force.model_dump_json())
        proposal = partial(checked, service, name, sent.tuning)
        preview = await _begun(previews.begin(key, service, name, proposal, sent.days))
    comparison = preview.comparison
    stored = await previews.in_thread(lambda: service.store.tunings.get(name))
    return page(
        request,
        "tune.html",
        name=name,
        form=form_of(sent.shown),
        in_force=form_of(in_force),
        days=sent.days,
        day_choices=DAY_CHOICES,
        rate_bounds=(MIN_RATE_LOG, MAX_RATE_LOG),
        comparison=comparison,
        bars=[] if comparison is None else day_bars(comparison),
        bar_height=_BAR_HEIGHT,
        max_flagged=MAX_FLAGGED,
        problem=preview.problem,
        progress=preview.progress,
        can_apply=preview.can_apply,
        here=f"{request.url.path}?{request.url.query}",
        stored=stored,
        stored_lines="" if stored is None else stored_lines(name, stored.settings),
        lines=config_lines(name, sent.tuning),
        settings=json.dumps(sent.tuning.settings),
        is_changed=_is_changed(name, service.config.monitor(name), sent, in_force),
    )


@router.post("/page/monitors/{name}/tune")
def store_settings(name: MonitorName, form: Form, service: Service, caller: CallerOf) -> Response:
    """Store settings in place of those of the configuration."""
    if not caller.may_tune:
        raise HTTPException(403, "This key may not store settings. Sign in with a key of scope admin.")
    try:
        tuning = Tuning.model_validate(json.loads(form.get("settings", "")))
    except (ValueError, ValidationError) as exc:
        raise HTTPException(422, "The form has no valid settings. Preview them again.") from exc
    checked(service, name, tuning)
    store_tuning(service.store, name, tuning, service.clock(), caller.name)
    return back_to(address("monitors", name, "tune"))


@router.post("/page/monitors/{name}/tune/clear")
def clear_settings(name: MonitorName, form: Form, service: Service, caller: CallerOf) -> Response:  # noqa: ARG001 - checked
    """Remove the stored settings, so that those of the configuration are in force."""
    if not caller.may_tune:
        raise HTTPException(403, "This key may not remove settings. Sign in with a key of scope admin.")
    service.store.tunings.clear(name, service.clock(), caller.name)
    return back_to(address("monitors", name, "tune"))


def _sent(name: str, fields: Mapping[str, str], service: ServiceView, in_force: MonitorConfig) -> _Sent:
    """Return what the address proposes; what it proposes wrongly is left out, and stated."""
    days = fields.get("days", "")
    number = int(days) if len(days) < _MAX_DIGITS and days.isdecimal() else _DEFAULT_DAYS
    configured = service.config.monitor(name)
    try:
        tuning = proposed(fields, configured, in_force)
        return _Sent(tuning, tuned(name, configured, tuning), min(max(number, 1), _MAX_DAYS))
    except PlumblineError as exc:
        return _Sent(Tuning(), in_force, _DEFAULT_DAYS, str(exc))


def _is_changed(name: str, configured: MonitorConfig, sent: _Sent, in_force: MonitorConfig) -> bool:
    """Return whether the proposed settings differ from those in force."""
    if sent.problem is not None:
        return False
    return form_of(tuned(name, configured, sent.tuning)) != form_of(in_force)


def day_bars(comparison: Comparison) -> Sequence[DayBars]:
    """Return the alerts of each day, now and as proposed, up to those that wait longest; none without times."""
    now, after = comparison.now.alerts, comparison.proposed.alerts
    if comparison.since is None or comparison.until is None or now is None or after is None:
        return []
    alerted_days = map(date.fromisoformat, (*now.by_day, *after.by_day))
    first, last = comparison.since.date(), max([comparison.until.date(), *alerted_days])
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    counts: list[tuple[date, int, int]] = [
        (day, now.by_day.get(day.isoformat(), 0), after.by_day.get(day.isoformat(), 0)) for day in days
    ]
    largest = max([1, *(count for _, *both in counts for count in both)])
    return [_bars(number, item, _BAR_HEIGHT / largest) for number, item in enumerate(counts)]


def _bars(number: int, item: tuple[date, int, int], scale: float) -> DayBars:
    day, now, after = item
    return DayBars(day, 24.0 * number, now, after, now * scale, after * scale)
