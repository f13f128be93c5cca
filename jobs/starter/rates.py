"""Proposes the false-positive rate: what the records resolve, and how many flags a person can look at."""

from dataclasses import dataclass

import pandas as pd

RATES = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
RECORDS_PER_FLAG = 50
"""Normal records for each one that may be flagged: a fifth of them calibrates, so that ten set the threshold, and the
rate on new records is within a factor of two of it with 96 % certainty."""
RECORDS_PER_FLAG_ONLINE = 20
"""The same for a threshold that follows the scores: it only starts at the calibrated one."""
FLAGS_PER_DAY = 20
"""Flagged normal records that a person can look at in a day."""
_MAX_WRONG_SHARE = 0.01  # of the times at either end, such as a date in a far future
_DAY = 86_400  # seconds
_USUAL_RATE = 0.01  # a larger one only if the records resolve none smaller


@dataclass(frozen=True)
class Rate:
    """A false-positive rate.

    Attributes:
        value: of the rate.
        normal_records: that it was chosen by.
        per_day: records a day; None if the table has no time.
        records_per_flag: normal records for each one that may be flagged.
    """

    value: float
    normal_records: int
    per_day: float | None
    records_per_flag: int = RECORDS_PER_FLAG

    @property
    def flags_per_day(self) -> float | None:
        """How many normal records a day would be flagged."""
        return None if self.per_day is None else self.value * self.per_day

    @property
    def wanted_records(self) -> int:
        """The normal records at which the rate would hold better than with those that there are."""
        return round(self.records_per_flag / self.value)


def propose_rate(
    normal_records: int, per_day: float | None, anomaly_share: float | None, *, is_online: bool = False
) -> Rate:
    """Return the smallest rate that fits.

    Args:
        normal_records: to train on and to calibrate with; for series those of one entity.
        per_day: records a day; None if unknown.
        anomaly_share: of labelled anomalies among all records; None without a label. There should not be more false
            alarms than anomalies.
        is_online: whether the threshold follows the scores.

    >>> [propose_rate(100_000, per_day, None).value for per_day in (50, 2_000, 1_000_000)]
    [0.01, 0.01, 0.0005]
    >>> propose_rate(700, 10, 0.2).value, propose_rate(100_000, None, 0.002).value
    (0.05, 0.002)
    """
    records_per_flag = RECORDS_PER_FLAG_ONLINE if is_online else RECORDS_PER_FLAG
    resolved = records_per_flag / max(normal_records, 1)
    bearable = _USUAL_RATE if not per_day else min(FLAGS_PER_DAY / per_day, _USUAL_RATE)
    if anomaly_share:
        bearable = min(bearable if per_day else RATES[-1], anomaly_share)
    needed = max(resolved, bearable)
    value = next((rate for rate in RATES if rate >= needed * (1 - 1e-9)), RATES[-1])
    return Rate(value, normal_records, per_day, records_per_flag)


def records_per_day(times: "pd.Series[pd.Timestamp]", count: int, *, is_counted: bool) -> float | None:
    """Return how many records a day a table gets; None if its times span nothing.

    Args:
        times: (n,) of the sample.
        count: of the table's records.
        is_counted: whether the count is complete; if not, the newest records of the sample measure the rate.
    """
    known = times.dropna()
    if not is_counted:
        known, count = known.iloc[len(known) // 2 :], len(known) - len(known) // 2
    if known.empty:
        return None
    days = (known - known.min()).dt.total_seconds() / _DAY
    span = float(days.quantile(1 - _MAX_WRONG_SHARE) - days.quantile(_MAX_WRONG_SHARE))
    return (count - 2 * _MAX_WRONG_SHARE * len(known)) / span if span > 0 else None
