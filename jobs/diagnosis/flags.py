"""Diagnoses of how many records are flagged."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil, sqrt

from jobs.diagnosis.case import Case, Diagnosis, Problem
from jobs.ranking import rank_records
from jobs.store import EventQuery
from jobs.wording import counted_noun, percent, shown
from schemas.frames import IS_ANOMALY

_MANY_FACTOR = 5  # times the rate
_STANDARD_DEVIATIONS = 4  # that chance does not exceed
_MIN_EXPECTED = 5  # flagged records, from which on none at all is no chance
_MAX_RANKED = 50
_MAX_FEATURES = 3


def too_few_records(case: Case) -> Iterator[Problem]:
    """Report that no record is flagged because too few were scored for the rate."""
    records, rate = case.overview.records, case.monitor.false_positive_rate
    if case.overview.anomalies or not records or not _goes_by_rate(case):
        return
    expected = rate * records
    if expected < _MIN_EXPECTED:
        yield Problem(
            f"None of {counted_noun(records, 'scored record')} is flagged. At a false-positive rate of {percent(rate)} "
            f"about {shown(round(expected, 1))} would be by chance; only what is more unusual than all but "
            f"{percent(rate)} of the normal records is flagged.",
            f"See the most unusual ones: plumbline top {case.name}. To flag more, set a larger false_positive_rate.",
        )
    else:
        yield Problem(
            f"None of {counted_noun(records, 'scored record')} is flagged; {expected:,.0f} are expected at a "
            f"false-positive rate of {percent(rate)}.",
            "The calibration records are more unusual than the records since: leave unusual ones out by `normal`. See: "
            f"plumbline top {case.name}",
        )


def far_too_many(case: Case) -> Iterator[Problem]:
    """Report that far more of the newest records are flagged than asked, and by which features."""
    count = len(case.scored)
    flagged = int(case.scored[IS_ANOMALY].sum()) if count else 0
    rate = case.monitor.false_positive_rate
    limit = max(_MANY_FACTOR * rate * count, rate * count + _STANDARD_DEVIATIONS * sqrt(rate * count))
    if flagged <= limit:
        return
    top = rank_records(case.newest, case.source, case.scorer, _MAX_RANKED)
    features = Counter(str(record.causes[0]["feature"]) for record in top if record.causes and record.is_anomaly)
    causes = ", ".join(repr(name) for name, _ in features.most_common(_MAX_FEATURES))
    yield Problem(
        f"{flagged:,} of the newest {counted_noun(count, 'record')} are flagged ({percent(flagged / count)}); the rate "
        f"asked is {percent(rate)}. The main causes are {causes}.",
        "If these features move with time or are ids, leave them out. If normal records have changed, label the "
        f"flagged ones known, or set retrain.learn_incidents to all, and train again: plumbline train {case.name}",
    )


def drift(case: Case) -> Iterator[Problem]:
    """Report the last drift since the champion was promoted."""
    events = case.store.events.page(EventQuery(monitor=case.name, kind="drift", limit=1))
    if events and case.champion is not None and events[0].at >= case.champion.promoted_at:
        yield Problem(events[0].message, f"Train again on newer records: plumbline train {case.name}")


def impossible_discoveries(case: Case) -> Iterator[Problem]:
    """Report a false discovery rate at which a few anomalies in a batch cannot be flagged."""
    if case.monitor.flag != "fdr" or case.smallest_p_value is None:
        return
    batch, level = case.monitor.batch_size, case.monitor.false_discovery_rate
    needed = ceil(case.smallest_p_value * batch / level)
    if needed > 1:
        yield Problem(
            f'With flag = "fdr" and {batch:,} records in a batch nothing is flagged unless {needed:,} of them are more '
            "unusual than every calibration record.",
            'Train on more normal records, lower batch_size, or set flag = "rate".',
        )


def _goes_by_rate(case: Case) -> bool:
    return case.monitor.flag == "rate" and case.scorer.has_rate


DIAGNOSES: Sequence[Diagnosis] = (too_few_records, far_too_many, drift, impossible_discoveries)
