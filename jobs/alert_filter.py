"""Rules that leave flagged records out of alerts: deviations in a direction, or of a size, that does not matter."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from jobs.store.alert_rule import MAIN_CAUSE_SHARE
from schemas.frames import Cause, Explanation
from schemas.service import MonitorAlerts
from schemas.texts import is_number


def held_back_by(alert: MonitorAlerts, explanation: Explanation) -> str | None:
    """Return the rule that leaves a flagged record out of alerts, or None.

    A record is left out if rules leave out each of its main causes, those with at least half of the largest share.
    """
    if not explanation.causes:
        return None
    largest = explanation.causes[0].share
    rules = [_rule_against(alert, cause) for cause in explanation.causes if cause.share >= MAIN_CAUSE_SHARE * largest]
    return rules[0] if all(rules) else None


def _rule_against(alert: MonitorAlerts, cause: Cause) -> str | None:
    direction = alert.direction.get(cause.feature)
    if direction is not None and (cause.deviation > 0) != (direction == "up"):
        return "direction"
    smallest = alert.ignore_below.get(cause.feature)
    if smallest is None or not (is_number(cause.value) and is_number(cause.expected)):
        return None
    return "ignore_below" if abs(cause.value - cause.expected) < smallest else None


@dataclass(frozen=True)
class QuietHours:
    """A time of day in which alerts wait, such as 22:00-06:00.

    Attributes:
        start: local time, inclusive.
        end: local time, exclusive; the next day's if it is not after the start.
        zone: of both.
    """

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def of(cls, text: str, time_zone: str) -> "QuietHours":
        """Return the hours of a text such as "22:00-06:00"."""
        start, end = map(time.fromisoformat, text.split("-"))
        return cls(start, end, ZoneInfo(time_zone))

    def end_after(self, at: datetime) -> datetime | None:
        """Return the end of the quiet hours that a time lies in, or None outside them.

        >>> from datetime import UTC
        >>> hours = QuietHours.of("22:00-06:00", "Europe/Berlin")
        >>> hours.end_after(datetime(2026, 7, 1, 21, tzinfo=UTC)).isoformat()
        '2026-07-02T04:00:00+00:00'
        >>> hours.end_after(datetime(2026, 7, 1, 12, tzinfo=UTC))
        """
        today = at.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            last_day = day if self.end > self.start else day + timedelta(days=1)
            start, end = datetime.combine(day, self.start, self.zone), datetime.combine(last_day, self.end, self.zone)
            if start.timestamp() <= at.timestamp() < end.timestamp():
                return end.astimezone(at.tzinfo)
        return None
