"""Counts of a monitor's alerts and incidents, and of what rules have held back."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine, func, select

from jobs.databases import reading
from jobs.store.incidents import CURRENT_STATES
from schemas.tables import alerts, anomalies, incidents


@dataclass(frozen=True)
class AlertCounts:
    """The alerts of a monitor, each counted once for each channel that it goes to."""

    by_day: Mapping[str, int] = field(default_factory=dict)
    """By the day in UTC on which they may be sent, after quiet hours."""
    by_channel: Mapping[str, int] = field(default_factory=dict)
    by_reason: Mapping[str, int] = field(default_factory=dict)
    incidents: int = 0
    """Number of incidents, alerted or not."""
    held_back: Mapping[str, int] = field(default_factory=dict)
    """Incidents of which no channel is alerted, by reason."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Flagged records that a rule leaves out, by rule; maintenance is one, and a label that suppresses them."""

    @property
    def alerts(self) -> int:
        """Return the number of alerts."""
        return sum(self.by_channel.values())


class AlertHistory:
    """The alerts and incidents of every monitor, as numbers.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def counts(self, monitor: str) -> AlertCounts:
        """Return the counts of a monitor, of all time that the store keeps."""
        a, i, f = alerts.c, incidents.c, anomalies.c
        sent = select(a.channel, a.reason, func.coalesce(a.not_before, a.created_at)).where(a.monitor == monitor)
        current = select(i.held_back).where(i.monitor == monitor, i.state.in_(CURRENT_STATES))
        is_current = (f.monitor == monitor, f.superseded_at.is_(None))
        flagged = select(f.held_back, f.is_muted, f.suppressed_by).where(*is_current)
        with reading(self.engine) as connection:
            rows = connection.execute(sent).all()
            reasons = connection.scalars(current).all()
            rules = [_rule_of(*row) for row in connection.execute(flagged)]
        return AlertCounts(
            by_day=dict(sorted(Counter(f"{at:%Y-%m-%d}" for _, _, at in rows).items())),
            by_channel=dict(sorted(Counter(channel for channel, _, _ in rows).items())),
            by_reason=dict(sorted(Counter(reason for _, reason, _ in rows).items())),
            incidents=len(reasons),
            held_back=dict(Counter(reason for reason in reasons if reason is not None).most_common()),
            left_out=dict(Counter(rule for rule in rules if rule is not None).most_common()),
        )


def _rule_of(held_back: str | None, is_muted: bool, suppressed_by: int | None) -> str | None:  # noqa: FBT001 - a column
    """Return what leaves a flagged record out of alerts, or None."""
    return "maintenance" if is_muted else ("label" if suppressed_by is not None else held_back)
