"""Texts of alerts: plain text, whatever the names and values of a watched table hold."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobs.store.alerts import AlertTexts, IncidentNews, Message
from jobs.store.incident_summary import IncidentSummary
from jobs.wording import cell, counted_noun, duration, expected_cell, shown, utc

_MAX_TITLE_LENGTH = 150
_MAX_VALUE_LENGTH = 80
_MAX_SENTENCE_LENGTH = 1_000
_MAX_CAUSES = 5
_MIN_RELATIVE_SHARE = 0.05  # of the largest share; a feature with less is not listed
_MAX_TITLES_LISTED = 20


def incident_message(news: IncidentNews) -> Message:
    """Return the alert of an incident."""
    summary, number = news.summary, news.incident_id
    title = f"{_subject(news.monitor, summary.entity)}: {_verdict(news)} (severity {summary.peak_severity:.0f})"
    lines = [
        f"Monitor: {news.monitor}",
        *([f"Entity: {one_line(summary.entity)}"] if summary.entity is not None else []),
        f"Time: {_time_range(summary)}",
        f"Flagged: {counted_noun(summary.records, 'record')}",
        f"Severity: {summary.peak_severity:.0f} of 100, peak at {utc(summary.peak_time)}",
        *_cause_lines(summary.causes),
        *([f"Resembles: anomaly {news.raised_by}, labelled confirmed"] if news.raised_by is not None else []),
        f"False alarm? plumbline incidents label {number} false_positive",
        f"See: {news.link or f'plumbline incidents show {number}'}",
    ]
    return Message(_title(title), "\n".join(lines))


def _verdict(news: IncidentNews) -> str:
    """Return what has happened, in a few words."""
    summary = news.summary
    lasted = duration((summary.end_time - summary.start_time).total_seconds())
    verdicts = {
        "opened": "anomalous again" if news.is_again else "anomalous",
        "escalated": "has become severe",
        "worse": "has become worse",
        "new_cause": f"now also {', '.join(map(one_line, news.new_causes[:_MAX_CAUSES]))}",
        "ended": f"normal again after {lasted}" if summary.records > 1 else "normal again",
        "reminder": f"still anomalous after {lasted}",
    }
    return verdicts[news.reason]


def event_message(monitor: str | None, entity: str | None, kind: str, sentence: str, since: datetime | None) -> Message:
    """Return the alert of an event."""
    subject = _subject(monitor or "plumbline", entity)
    lines = [one_line(sentence, _MAX_SENTENCE_LENGTH), *([f"Since: {utc(since)}"] if since else [])]
    return Message(_title(f"{subject}: {kind.replace('_', ' ')}"), "\n".join(lines))


def digest_message(titles: Sequence[str], count: int) -> Message:
    """Return one message for `count` alerts, the first of which have these titles."""
    listed = [f"- {title}" for title in titles[:_MAX_TITLES_LISTED]]
    more = count - len(listed)
    rest = [f"and {more:,} more"] if more else []
    see = "See: plumbline incidents list"
    return Message(f"Plumbline: {counted_noun(count, 'alert')} in one message", "\n".join([*listed, *rest, see]))


def one_line(value: Any, length: int = _MAX_VALUE_LENGTH) -> str:
    r"""Return a value as text without line breaks or control characters, cut to a length.

    >>> one_line("pump\r\nBcc: all"), one_line("x" * 9, 5)
    ('pump  Bcc: all', 'xxxx…')
    """
    text = "".join(char if char.isprintable() else " " for char in cell(value))
    return text if len(text) <= length else text[: length - 1] + "…"


def _title(text: str) -> str:
    return one_line(text, _MAX_TITLE_LENGTH)


def _subject(monitor: str, entity: str | None) -> str:
    return monitor if entity is None else f"{monitor}, {one_line(entity)}"


def _time_range(summary: IncidentSummary) -> str:
    start, end = summary.start_time, summary.end_time
    return utc(end) if start == end else f"{shown(start)} to {utc(end)}"


def _cause_lines(causes: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"- {one_line(cause['feature'])}: {one_line(cause['value'])}, expected {_expected(cause)}"
        for cause in causes[:_MAX_CAUSES]
        if (cause["share"] or 0.0) >= _MIN_RELATIVE_SHARE * (causes[0]["share"] or 0.0)
    ]
    return ["Causes:", *lines] if lines else []


def _expected(cause: Mapping[str, Any]) -> str:
    return one_line(expected_cell(cause["value"], cause["expected"]))


ALERT_TEXTS = AlertTexts(incident_message, event_message)
