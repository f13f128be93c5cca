"""The bars of the tuning page show every alert of the table above them."""

from datetime import UTC, datetime

from jobs.api.pages.tuning import day_bars
from jobs.store.alert_history import AlertCounts
from jobs.tuning.comparison import Comparison
from jobs.tuning.preview import Outcome


def outcome(**by_day):
    counts = {f"2026-03-{day.removeprefix('d')}": number for day, number in by_day.items()}
    return Outcome(9, 9, 1.5, AlertCounts(by_day=counts), 1, None, None)


def test_alerts_that_wait_until_after_the_last_record_have_a_bar():
    span = datetime(2026, 3, 1, 20, tzinfo=UTC), datetime(2026, 3, 2, 23, tzinfo=UTC)
    bars = day_bars(Comparison(1, *span, False, outcome(d01=1, d03=2), outcome()))
    assert [(bar.day.day, bar.now, bar.proposed) for bar in bars] == [(1, 1, 0), (2, 0, 0), (3, 2, 0)]
