"""Compares the share of flagged records with the false-positive rate, and names the features behind a difference."""

from collections.abc import Mapping

from jobs.wording import percent

MAX_RATE_FACTOR = 2.0  # times the rate, and its inverse: within them the flagged share is as configured
MIN_FLAGGED = 5  # more or fewer than the rate gives: a smaller difference is chance
MIN_CAUSE_SHARE = 0.2  # of the flagged records
MAX_CAUSES_NAMED = 3


def rate_sentence(records: int, flagged: int, rate: float, causes: Mapping[str, int]) -> str | None:
    """Return how far the share of flagged records is from the rate, and because of which features; None if it is not.

    Args:
        records: number of scored records.
        flagged: number of flagged records.
        rate: the false-positive rate.
        causes: flagged records by the feature that contributes most to their score.

    >>> print(rate_sentence(3000, 2160, 0.01, {"year": 2100, "flow": 60}))
    72.00% of the records are flagged, 72.0 times the configured rate of 1.00%. The main cause: 'year' (97.22% of them).
    >>> rate_sentence(3000, 31, 0.01, {})
    """
    usual, share = rate * records, flagged / records if records else 0.0
    if share > MAX_RATE_FACTOR * rate and flagged - usual >= MIN_FLAGGED:
        factor = f"{share / rate:,.1f}"
        return (
            f"{percent(share)} of the records are flagged, {factor} times the configured rate of {percent(rate)}."
            f"{_causes(flagged, causes)}"
        )
    if share < rate / MAX_RATE_FACTOR and usual - flagged >= MIN_FLAGGED:
        return f"{percent(share)} of the records are flagged, fewer than the configured rate of {percent(rate)}."
    return None


def _causes(flagged: int, causes: Mapping[str, int]) -> str:
    largest = sorted(causes.items(), key=lambda item: -item[1])[:MAX_CAUSES_NAMED]
    named = [
        f"{name!r} ({percent(count / flagged)} of them)"
        for name, count in largest
        if count >= MIN_CAUSE_SHARE * flagged
    ]
    return f" The main cause{'s' if len(named) > 1 else ''}: {', '.join(named)}." if named else ""
