"""Times of day: how far apart two times are on a clock, whatever their dates."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

NEAR = timedelta(minutes=20)
"""Two events up to this far apart on a clock happen at the same time of day."""
_DAY = timedelta(days=1)


def is_same_time_of_day(first: datetime, second: datetime, zone: ZoneInfo) -> bool:
    """Return whether two times are near each other on a clock, also across midnight.

    >>> from datetime import UTC
    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> first = datetime(2026, 3, 28, 23, 10, tzinfo=UTC)
    >>> [is_same_time_of_day(first, datetime(2026, 3, 29, 22, minute, tzinfo=UTC), berlin) for minute in (0, 50)]
    [True, False]
    """
    apart = abs(_since_midnight(first, zone) - _since_midnight(second, zone))
    return min(apart, _DAY - apart) <= NEAR


def _since_midnight(time: datetime, zone: ZoneInfo) -> timedelta:
    local = time.astimezone(zone)
    return timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)
