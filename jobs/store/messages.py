"""What alerts say: plain text, whatever the names and values of a watched table hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.store.incident_summary import IncidentSummary
from jobs.wording import cell, counted_noun

_TITLE_LENGTH = 150
_VALUE_LENGTH = 80
_CAUSES = 5
_LEAST_SHARE = 0.05  # of the largest; what has less is no cause
_LISTED = 20


@dataclass(frozen=True)
class Message:
    """What is sent to a channel."""

    title: str
    body: str


def incident_message(monitor: str, incident_id: int, extent: IncidentSummary, reason: str) -> Message:
    """What an incident is about; `reason` is opened or escalated."""
    who = _who(monitor, extent.entity)
    what = "anomalous" if reason == "opened" else "has become severe"
    lines = [
        f"Monitor: {monitor}",
        *([f"Entity: {one_line(extent.entity)}"] if extent.entity is not None else []),
        f"Time: {_span(extent)}",
        f"Flagged: {counted_noun(extent.records, 'record')}",
        f"Severity: {extent.peak_severity:.0f} of 100, peak at {_time(extent.peak_time)}",
        *_causes(extent.causes),
        f"See: plumbline incidents show {incident_id}",
    ]
    return Message(_title(f"{who}: {what} (severity {extent.peak_severity:.0f})"), "\n".join(lines))


def event_message(monitor: str | None, entity: str | None, kind: str, sentence: str, since: datetime | None) -> Message:
    """What an event is about."""
    who = _who(monitor or "plumbline", entity)
    lines = [one_line(sentence, 1_000), *([f"Since: {_time(since)}"] if since else [])]
    return Message(_title(f"{who}: {kind.replace('_', ' ')}"), "\n".join(lines))


def digest_message(titles: Sequence[str], count: int) -> Message:
    """Several alerts as one; `titles` are the first of `count`."""
    listed = [f"- {title}" for title in titles[:_LISTED]]
    more = count - len(listed)
    rest = [f"and {more:,} more"] if more else []
    see = "See: plumbline incidents list"
    return Message(f"Plumbline: {counted_noun(count, 'alert')} in one message", "\n".join([*listed, *rest, see]))


def one_line(value: Any, length: int = _VALUE_LENGTH) -> str:
    r"""A value as text that cannot break out of its line.

    >>> one_line("pump\r\nBcc: all"), one_line("x" * 9, 5)
    ('pump  Bcc: all', 'xxxx…')
    """
    text = "".join(char if char.isprintable() else " " for char in cell(value))
    return text if len(text) <= length else text[: length - 1] + "…"


def _title(text: str) -> str:
    return one_line(text, _TITLE_LENGTH)


def _who(monitor: str, entity: str | None) -> str:
    return monitor if entity is None else f"{monitor}, {one_line(entity)}"


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _span(extent: IncidentSummary) -> str:
    is_moment = extent.start_time == extent.end_time
    return _time(extent.end_time) if is_moment else f"{extent.start_time:%Y-%m-%d %H:%M:%S} to {_time(extent.end_time)}"


def _causes(causes: Sequence[Mapping[str, Any]]) -> list[str]:
    shown = [
        f"- {one_line(cause['feature'])}: {one_line(cause['value'])}, expected {one_line(cause['expected'])}"
        for cause in causes[:_CAUSES]
        if (cause["share"] or 0.0) >= _LEAST_SHARE * (causes[0]["share"] or 0.0)
    ]
    return ["Causes:", *shown] if shown else []
