"""Settings of a monitor that a person may change without a training, in place of those of the configuration."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from schemas.config import MonitorConfig
from schemas.errors import ConfigError
from schemas.section import Section
from schemas.service import QUIET_HOURS, MaintenanceWindow


class FlaggedAmong(Section):
    """A number of flagged records among the last records of an entity."""

    model_config = ConfigDict(use_attribute_docstrings=True)  # which the API describes

    records: int = Field(ge=1)
    """Number of flagged records."""
    of: int = Field(ge=1, le=1_000)
    """Number of records of the entity, one after another; at least as many."""


class AlertTuning(Section):
    """Rules of alerts in place of those of the configuration; null leaves a rule as it is configured."""

    model_config = ConfigDict(use_attribute_docstrings=True)  # which the API describes

    severity: Annotated[float, Field(ge=0, le=100)] | None = None
    """An incident is reported once its peak severity reaches this."""
    escalate_severity: Annotated[float, Field(ge=0, le=100)] | None = None
    """It is severe once its peak severity reaches this."""
    records: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """An incident is reported once it holds this many flagged records."""
    consecutive: Annotated[int, Field(ge=1, le=1_000)] | FlaggedAmong | None = None
    """An incident is reported once this many consecutive records of its entity are flagged."""
    direction: dict[str, Literal["up", "down"]] | None = None
    """Features that matter only above ("up") or below ("down") their expected value."""
    ignore_below: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    """The smallest deviation from its expected value that matters, by feature and in its unit."""
    quiet_hours: Annotated[str, Field(pattern=f"^$|{QUIET_HOURS}", max_length=11)] | None = None
    """Time of day, such as "22:00-06:00", in which only severe incidents are reported at once; "" for none."""


class Tuning(Section):
    """Settings in place of those of the configuration; null leaves a setting as it is configured."""

    model_config = ConfigDict(use_attribute_docstrings=True)  # which the API describes

    false_positive_rate: Annotated[float, Field(ge=1e-9, lt=1)] | None = None
    """Share of normal records that may be flagged."""
    alert: AlertTuning = AlertTuning()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that it changes, as in the section of a monitor."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def tuned(name: str, monitor: MonitorConfig, tuning: Tuning) -> MonitorConfig:
    """Return the settings of a monitor with those of a tuning in their place.

    Raises:
        ConfigError: If they do not fit the monitor.
    """
    changes = tuning.settings
    rules = changes.pop("alert", {})
    if rules.get("quiet_hours") == "":
        rules["quiet_hours"] = None
    alert = {**monitor.alert.model_dump(), **rules}
    try:
        return MonitorConfig.model_validate({**monitor.model_dump(), **changes, "alert": alert})
    except ValidationError as exc:
        raise ConfigError(f"These settings do not fit monitor {name!r}: {problem_of(exc)}. Change them.") from None


def problem_of(error: ValidationError) -> str:
    """Return the first problem of settings with its place; of a value with two forms, the problem in its own form."""
    errors = error.errors(include_input=False)
    first = next((item for item in errors if not item["type"].endswith("_type")), errors[0])
    parts = zip(("", *first["loc"]), first["loc"], strict=False)
    place = ".".join(str(part) for before, part in parts if before != "consecutive")  # after it, the name of a form
    reason = first["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason


def with_windows(monitor: MonitorConfig, windows: tuple[MaintenanceWindow, ...]) -> MonitorConfig:
    """Return the settings of a monitor with more maintenance windows."""
    return monitor.model_copy(update={"maintenance": (*monitor.maintenance, *windows)}) if windows else monitor
