"""Measures of a method on a labelled test series: ranking, alarms, attribution and speed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.series.data import Case, KnownCause, Mask, Matrix, Vector
from benchmarks.series.events import (
    Numbers,
    count_events,
    event_recall,
    false_rate,
    fixed_alarms,
    found_share,
    hit_rate,
    incidents_by_time,
    joined_share,
    ndcg,
    online_alarms,
    online_incidents,
    settling_rows,
    single_share,
)
from benchmarks.series.methods import Fitted
from benchmarks.series.vus import period, vus_pr
from benchmarks.timing import timed
from schemas.errors import RecordsError

RATE = 0.01  # false-positive rate of all alarms


@dataclass(frozen=True)
class Subject:
    """The series and the method that a measurement belongs to."""

    dataset: str
    entity: str
    training: str
    method: str
    seed: int


@dataclass(frozen=True)
class Ranking:
    """How well scores separate anomalies from normal records, without a threshold and without point adjustment."""

    vus_pr: float | None = None
    auc_pr: float | None = None
    auroc: float | None = None


@dataclass(frozen=True)
class Alarms:
    """The alarms at a rate of 1 %.

    Attributes:
        rate: share of the normal records that is flagged.
        event_recall: share of the anomalies with a flagged record.
        found_share: flagged share of the records of those anomalies.
        single_share: share of those anomalies whose flagged records are no more than a few records apart.
        joined_share: share of those anomalies whose flagged records are one incident, as scoring groups them.
        settled_rate: as `rate`, without the records before a level became usual.
        settled_records: normal records without those.
    """

    rate: float | None = None
    event_recall: float | None = None
    found_share: float | None = None
    single_share: float | None = None
    joined_share: float | None = None
    settled_rate: float | None = None
    settled_records: int = 0


@dataclass(frozen=True)
class Attribution:
    """How well causes name the true channels, averaged over the anomalies with known channels."""

    ndcg5: float | None = None
    hit100: float | None = None


@dataclass(frozen=True)
class Size:
    """The numbers of records and events behind a line of the results."""

    calibration_records: int
    normal_records: int
    events: int


@dataclass(frozen=True)
class Measurement:
    """One line of the results; None for measures that the series does not allow."""

    subject: Subject
    ranking: Ranking
    fixed: Alarms
    online: Alarms
    attribution: Attribution
    size: Size
    fit_seconds: float
    records_per_second: float


def measure(subject: Subject, case: Case, fitted: Fitted, fit_seconds: float) -> Measurement:
    """Measure a fitted method on a labelled test series.

    Raises:
        RecordsError: If the scores are not one finite number for each record.
    """
    scores, seconds = timed(lambda: fitted.scores(case.test))
    if scores.shape != (len(case.test),) or not np.isfinite(scores).all():
        raise RecordsError(
            f"{subject.method} gave {scores.shape} scores for {len(case.test)} records of {case.entity}, "
            f"{int((~np.isfinite(scores)).sum())} of them not finite. Expected one finite score for each."
        )
    return Measurement(
        subject=subject,
        ranking=_ranking(case, scores),
        fixed=_alarms(fixed_alarms(fitted.reference, scores, RATE), case.is_anomaly, np.zeros(len(scores), dtype=bool)),
        online=_alarms(
            online_alarms(fitted.reference, scores, RATE),
            case.is_anomaly,
            settling_rows(fitted.reference, scores, RATE),
            online_incidents(fitted.reference, scores, RATE),
        ),
        attribution=_attribution(fitted.causes(case.test), case.causes) if fitted.causes else Attribution(),
        size=Size(len(fitted.reference), int((~case.is_anomaly).sum()), count_events(case.is_anomaly)),
        fit_seconds=fit_seconds,
        records_per_second=len(scores) / seconds,
    )


def _ranking(case: Case, scores: Vector) -> Ranking:
    """Return the ranking measures; none if the records are all normal or all anomalous."""
    label = case.is_anomaly
    if label.all() or not label.any():
        return Ranking()
    return Ranking(
        vus_pr=vus_pr(label, scores, period(case.test.values[:, 0])),
        auc_pr=float(average_precision_score(label, scores)),
        auroc=float(roc_auc_score(label, scores)),
    )


def _alarms(alarms: Mask | None, is_anomaly: Mask, is_settling: Mask, incidents: Numbers | None = None) -> Alarms:
    """Measure alarms; without the incidents of their rows these are grouped by time."""
    if alarms is None:
        return Alarms()
    return Alarms(
        *(measured(alarms, is_anomaly) for measured in (false_rate, event_recall, found_share, single_share)),
        joined_share=joined_share(incidents_by_time(alarms) if incidents is None else incidents, is_anomaly),
        settled_rate=false_rate(alarms[~is_settling], is_anomaly[~is_settling]),
        settled_records=int((~is_anomaly & ~is_settling).sum()),
    )


def _attribution(causes: Matrix, anomalies: tuple[KnownCause, ...]) -> Attribution:
    def mean(score: Callable[[Matrix, KnownCause], float]) -> float:
        return float(np.mean([score(causes, anomaly) for anomaly in anomalies]))

    return Attribution(mean(ndcg), mean(hit_rate)) if anomalies else Attribution()
