"""Sections of the configuration that concern the service: schedules, retraining, alerts, the API."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from schemas.section import Duration, Schedule, Section


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


Time = Annotated[datetime, AfterValidator(_aware)]


class ServiceConfig(Section):
    """How `plumbline serve` runs."""

    api: bool = True
    """Whether it answers HTTP."""
    host: str = "127.0.0.1"
    """Address to listen on; any but this machine's own needs an API key in the store."""
    port: int = Field(8321, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    max_body_bytes: int = Field(2**20, ge=1024)
    """Most bytes of a request's body."""
    max_records: int = Field(1_000, ge=1)
    """Most records of one request for scores."""
    log: Literal["text", "json"] = "text"
    """Form of a line of the log."""


class AlertsConfig(Section):
    """Where alerts go."""

    channels: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")], SecretStr] = Field({})
    """Name and Apprise address of each channel."""
    per_hour: int = Field(20, ge=1)
    """Most messages to a channel in an hour; what comes beyond is held back and sent as one."""


class RetrainConfig(Section):
    """When a monitor is trained again, and on what."""

    every: Schedule = None
    """Cron expression or interval at which `serve` asks for a training; never where absent."""
    on_drift: bool = False
    """Whether drift asks for one."""
    promote: Literal["if_better", "always", "manual"] = "if_better"
    """What becomes of the new model; one that is degenerate is never promoted."""
    history: Duration | None = None
    """Length of the trailing window of records that a training learns from; bounded by max_training_records alone
    where absent (needs time)."""
    cooldown: Duration = timedelta(days=1)
    """Least time between two trainings that drift asks for."""


class DriftConfig(Section):
    """When the newest records no longer look like those that a model was trained on."""

    records: int = Field(2_000, ge=100)
    """Newest records that are compared, in whole batches."""
    level: float = Field(1e-4, gt=0, lt=1)
    """Level of the tests against chance: of the p-values against the uniform distribution, and of each index."""
    distance: float = Field(0.1, gt=0, lt=1)
    """Least Kolmogorov-Smirnov distance that counts, since many records make any distance significant."""
    psi: float = Field(0.25, gt=0)
    """Population stability index of a feature from which on it has drifted."""


class MonitorAlerts(Section):
    """What of a monitor is told, and to whom."""

    channels: tuple[str, ...] | None = None
    """Names of channels; all where absent."""
    severity: float = Field(0.0, ge=0, le=100)
    """An incident is told once its peak severity reaches this."""
    escalate_severity: float = Field(80.0, ge=0, le=100)
    """It is told again once its peak severity reaches this."""
    newest: Duration = timedelta(days=1)
    """Incidents that ended longer ago than this are not told: the first run over a long history stays quiet."""


class MaintenanceWindow(Section):
    """A time in which anomalies are expected: their rows are marked, and nobody is told."""

    cron: str | None = None
    """When the window opens, again and again; `duration` says how long it lasts."""
    duration: Duration | None = None
    """Length of a window that opens by `cron`."""
    start: Time | None = None
    """Begin of a window that happens once."""
    end: Time | None = None
    """End of a window that happens once."""
    entity: str | None = None
    """The entity that it is about; all where absent."""

    @model_validator(mode="after")
    def _check(self) -> "MaintenanceWindow":
        is_cron = self.cron is not None and self.duration is not None
        is_once = self.start is not None and self.end is not None
        if is_cron == is_once or (is_cron and (self.start or self.end)) or (is_once and (self.cron or self.duration)):
            raise ValueError("a maintenance window needs either cron and duration, or start and end")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError("a maintenance window must end after it starts")
        if self.cron is not None and len(self.cron.split()) != 5:
            msg = f"expected a cron expression of five fields, received {self.cron!r}"
            raise ValueError(msg)
        if self.duration is not None and self.duration <= timedelta(0):
            raise ValueError("a maintenance window must last longer than 0")
        return self
