"""Diagnoses of the champion: what it was trained on and calibrated with."""

from collections.abc import Iterator, Sequence
from math import isinf

from detector.core.drift import Profile
from jobs.diagnosis.case import SAMPLE_RECORDS, Case, Diagnosis, Problem
from jobs.wording import counted_noun, first_names, percent, shown
from schemas.errors import RateTooSmall

_MAX_NAMES = 5
_WIDER_RATE_FACTOR = 5  # the share of calibration records that the bulk of them is judged by, in units of the rate
_MAX_WIDER_RATE = 0.5
_OUTLYING_FACTOR = 3  # between the two thresholds; without outliers it is seldom more than 2
_MIN_UNUSUAL_SHARE = 0.1  # of the rate: with fewer records unlike the others, their scores are a heavy tail
_MIN_CALIBRATION_RANK = 2  # calibration scores that should lie above a threshold


def no_champion(case: Case) -> Iterator[Problem]:
    """Report that no model scores."""
    models = case.store.models.all(case.name)
    if models:
        advice = f"Promote one: plumbline models promote {models[0].id}"
        yield Problem(f"No model is the champion; {counted_noun(len(models), 'model')} could be.", advice)
    else:
        yield Problem("There is no model yet.", f"Train one: plumbline train {case.name}")


def other_features(case: Case) -> Iterator[Problem]:
    """Report features that were added or removed since the training."""
    profile = Profile.from_state(case.scorer.about.profile)
    if profile is None:
        return
    watched, learned = set(case.monitor.features.names), set(profile.features)
    added, removed = sorted(watched - learned), sorted(learned - watched)
    if added or removed:
        changes = [f"without {', '.join(added)}" if added else "", f"with {', '.join(removed)}" if removed else ""]
        yield Problem(
            f"The champion was trained {' and '.join(filter(None, changes))}, unlike config.toml.",
            f"Train again: plumbline train {case.name}",
        )


def coarse_rate(case: Case) -> Iterator[Problem]:
    """Report a rate for which a single calibration record sets the threshold."""
    rate = case.monitor.false_positive_rate
    if not case.scorer.has_rate:
        return
    try:
        case.scorer.at_rate(rate / _MIN_CALIBRATION_RANK)
    except RateTooSmall as exc:
        yield Problem(
            f"At a false-positive rate of {percent(rate)} the highest calibration score is the threshold, so that one "
            "odd record among the normal ones hides every anomaly below it.",
            f"Train on more normal records, so that {exc.needed:,} or more calibrate, or set a larger rate.",
        )


def silent_entities(case: Case) -> Iterator[Problem]:
    """Report entities of which nothing can be flagged, or that no model scores."""
    silent = [name for name, threshold in case.thresholds(case.scorer).items() if isinf(threshold)]
    if silent:
        yield Problem(
            f"Nothing of {first_names(silent, _MAX_NAMES)} can be flagged: their calibration records are too few "
            "for the rate.",
            'Train on more of their records, set a larger false_positive_rate, or set models = "shared".',
        )
    unknown = case.scorer.unknown_entities(case.entities)
    if unknown:
        yield Problem(
            f"The champion was trained without records of {first_names(unknown, _MAX_NAMES)}.",
            f"Train again: plumbline train {case.name}",
        )


def outliers_among_calibration_records(case: Case) -> Iterator[Problem]:
    """Report thresholds that outliers among the calibration records have raised.

    A heavy tail of normal scores is none: if the model has an estimate of records unlike the others, it decides too.
    """
    rate = case.monitor.false_positive_rate
    wider = min(_WIDER_RATE_FACTOR * rate, _MAX_WIDER_RATE)
    unusual = case.scorer.about.unusual
    is_heavy_tail = unusual is not None and unusual.share < _MIN_UNUSUAL_SHARE * rate
    if not case.scorer.has_rate or wider <= rate or is_heavy_tail:
        return
    usual = case.thresholds(case.scorer.at_rate(wider))
    raised = [
        (threshold / usual[name], name)
        for name, threshold in case.thresholds(case.scorer).items()
        if usual[name] > 0 and _OUTLYING_FACTOR * usual[name] < threshold and not isinf(threshold)
    ]
    if raised:
        factor, name = max(raised)
        of_entity = f" of {name}" if name and len(case.entities) > 1 else ""
        yield Problem(
            f"The threshold{of_entity} is {shown(round(factor, 1))} times the score that {percent(wider)} of the "
            "calibration records exceed: some records that count as normal may not be.",
            f"Leave them out by `normal` in config.toml, or set trim under [monitors.{case.name}.model]. See them: "
            f"plumbline top {case.name}",
        )


def labelled_anomalies_among_normal_records(case: Case) -> Iterator[Problem]:
    """Report records that train as normal ones although the label marks them as anomalies."""
    label = case.monitor.label
    if label is None:
        return
    labels = case.source.read_normal(SAMPLE_RECORDS, with_label=True)[label].dropna()
    labelled = int(labels.astype("bool").sum())
    if labelled:
        yield Problem(
            f"{labelled:,} of the newest {counted_noun(len(labels), 'normal record')} with a label are anomalies by "
            f"their label {label!r}, and the training learns them as normal.",
            f'Leave them out by `normal` in config.toml, such as: normal = "{label} = 0"',
        )


WITHOUT_CHAMPION: Sequence[Diagnosis] = (no_champion, labelled_anomalies_among_normal_records)
DIAGNOSES: Sequence[Diagnosis] = (
    other_features,
    coarse_rate,
    silent_entities,
    outliers_among_calibration_records,
    labelled_anomalies_among_normal_records,
)
