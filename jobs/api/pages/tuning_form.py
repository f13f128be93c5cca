"""The form of the tuning page: the settings that it shows, and what its fields propose."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from schemas.config import MonitorConfig
from schemas.errors import UsageError
from schemas.tuning import Tuning, problem_of

MIN_RATE_LOG, MAX_RATE_LOG = -5.0, math.log10(0.5)
DAY_CHOICES = (1, 3, 7, 14, 30)
_SAME_RATE = 1e-6  # of the logarithm
_PARTS = ("rate_log", "severity", "escalate_severity", "records", "in_row", "in_row_of", "quiet_from", "quiet_until")


@dataclass(frozen=True)
class FeatureRules:
    """The rules of a numeric feature."""

    name: str
    unit: str | None
    direction: str | None
    ignore_below: float | None


@dataclass(frozen=True)
class TuningForm:
    """The fields of the form.

    Attributes:
        rate: the false-positive rate; None if no rate decides.
        rate_log: its decimal logarithm, the position of the slider.
    """

    rate: float | None
    rate_log: float
    severity: float
    escalate_severity: float
    records: int
    in_row: int
    in_row_of: int
    quiet_from: str
    quiet_until: str
    features: Sequence[FeatureRules]

    @property
    def has_feature_rules(self) -> bool:
        """Whether a feature has a rule."""
        return any(feature.direction or feature.ignore_below for feature in self.features)


def form_of(monitor: MonitorConfig) -> TuningForm:
    """Return the form that shows settings."""
    alert = monitor.alert
    start, _, end = (alert.quiet_hours or "").partition("-")
    return TuningForm(
        rate=monitor.asked_rate,
        rate_log=min(max(math.log10(monitor.false_positive_rate), MIN_RATE_LOG), MAX_RATE_LOG),
        severity=alert.severity,
        escalate_severity=alert.escalate_severity,
        records=alert.records,
        in_row=alert.flagged_of.records,
        in_row_of=alert.flagged_of.of,
        quiet_from=start,
        quiet_until=end,
        features=[
            FeatureRules(name, monitor.units.get(name), alert.direction.get(name), alert.ignore_below.get(name))
            for name in monitor.numeric
        ],
    )


def is_proposal(fields: Mapping[str, str]) -> bool:
    """Return whether the form was sent, and not only the page opened."""
    return any(name in fields for name in _PARTS)


def proposed(fields: Mapping[str, str], configured: MonitorConfig, in_force: MonitorConfig) -> Tuning:
    """Return what the fields of the form change in the configuration; a field that is missing is as in force.

    Raises:
        UsageError: If a field is not valid.
    """
    try:
        values = _values(fields, in_force)
        alert = {name: value for name, value in values.items() if value != _configured(configured, name)}
        rate = _rate(fields, in_force)
        return Tuning.model_validate(
            {"false_positive_rate": None if rate == configured.false_positive_rate else rate, "alert": alert}
        )
    except ValidationError as exc:
        raise UsageError(f"{problem_of(exc)}. Correct the form.") from None
    except ValueError:
        raise UsageError("A field of the form is not a number. Correct it.") from None


def _rate(fields: Mapping[str, str], in_force: MonitorConfig) -> float:
    if "rate_log" not in fields or in_force.asked_rate is None:
        return in_force.false_positive_rate
    position = float(fields["rate_log"])
    if not MIN_RATE_LOG - 1 <= position <= 0:
        raise UsageError("The false-positive rate is outside the slider. Choose another.")
    if abs(position - form_of(in_force).rate_log) < _SAME_RATE:
        return in_force.false_positive_rate
    return float(f"{10**position:.2g}")


def _values(fields: Mapping[str, str], in_force: MonitorConfig) -> dict[str, Any]:
    """Return every rule of alerts that the form has, as in the configuration."""
    shown = form_of(in_force)
    in_row, of = int(fields.get("in_row") or shown.in_row), int(fields.get("in_row_of") or shown.in_row_of)
    return {
        "severity": float(fields.get("severity") or shown.severity),
        "escalate_severity": float(fields.get("escalate_severity") or shown.escalate_severity),
        "records": int(fields.get("records") or shown.records),
        "consecutive": {"records": in_row, "of": max(in_row, of)},
        "quiet_hours": _quiet_hours(fields, shown),
        **_feature_rules(fields, shown),
    }


def _quiet_hours(fields: Mapping[str, str], shown: TuningForm) -> str:
    start, end = fields.get("quiet_from", shown.quiet_from), fields.get("quiet_until", shown.quiet_until)
    if not start and not end:
        return ""
    if not start or not end:
        raise UsageError("Quiet hours need a start and an end. Fill both, or neither.")
    return f"{start}-{end}"


def _feature_rules(fields: Mapping[str, str], shown: TuningForm) -> dict[str, dict[str, Any]]:
    direction: dict[str, Any] = {}
    ignore_below: dict[str, Any] = {}
    for feature in shown.features:
        chosen = fields.get(f"direction.{feature.name}", feature.direction or "")
        smallest = fields.get(f"ignore_below.{feature.name}")
        number = feature.ignore_below if smallest is None else float(smallest or 0)
        if chosen:
            direction[feature.name] = chosen
        if number:
            ignore_below[feature.name] = number
    return {"direction": direction, "ignore_below": ignore_below}


def _configured(monitor: MonitorConfig, name: str) -> Any:
    if name == "consecutive":
        return monitor.alert.flagged_of.model_dump()
    value = getattr(monitor.alert, name)
    return value or "" if name == "quiet_hours" else value
