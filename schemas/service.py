"""Sections of the configuration that concern the service: store, schedules, retraining, alerts, the API."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from schemas.section import Duration, PositiveDuration, Schedule, Section


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        msg = f"{value!r} is not an IP address or network, such as 127.0.0.1 or 10.0.0.0/8"
        raise ValueError(msg) from None


_TIME_OF_DAY = r"([01][0-9]|2[0-3]):[0-5][0-9]"
QUIET_HOURS = rf"^{_TIME_OF_DAY}-{_TIME_OF_DAY}$"
_LINK = r"^https?://[^\s]*\{id\}[^\s]*$"
Link = Annotated[str, Field(pattern=_LINK)]
Time = Annotated[datetime, AfterValidator(_aware)]


class Timeouts(Section):
    """How long a database may keep its callers waiting."""

    connect: PositiveDuration = timedelta(seconds=10)
    """For a connection; servers count whole seconds."""
    lock: PositiveDuration = timedelta(seconds=30)
    """For a lock that another transaction holds."""
    statement: PositiveDuration = timedelta(minutes=5)
    """For the result of one statement."""
    silence: PositiveDuration = timedelta(seconds=30)
    """How long the network may leave packets unanswered before a connection counts as dead."""

    def at_most(self, longest: "Timeouts") -> Self:
        """Return these timeouts, each no longer than another."""
        return self.model_copy(update={name: min(value, getattr(longest, name)) for name, value in self})


class SourceTimeouts(Timeouts):
    """How long the database of a watched table may keep its callers waiting."""

    statement: PositiveDuration = timedelta(minutes=15)
    """For the result of one statement, such as the records of a training."""


class StoreConfig(Section):
    """The database of Plumbline's own tables."""

    url: SecretStr = SecretStr("sqlite:///plumbline.db")
    """SQLAlchemy address of the store; a relative SQLite path is relative to the configuration file."""
    keep: Duration = timedelta(days=400)
    """How long scores, failed runs, trainings, events, alerts, retrain requests and drift assessments are kept."""
    keep_details: Duration = timedelta(days=30)
    """How long each successful scoring run and each batch of the ledger is kept; older batches are merged."""
    keep_flagged: Duration | None = None
    """How long flagged rows without a label are kept, with their incidents; for ever by default."""
    keep_models: int = Field(10, ge=1)
    """Number of retired models, and of challengers, of each monitor that are kept."""
    timeouts: Timeouts = Timeouts()


class ServiceConfig(Section):
    """Settings of `plumbline serve`."""

    api: bool = True
    """Whether it serves HTTP."""
    page: bool = True
    """Whether it serves pages for people too."""
    host: str = "127.0.0.1"
    """Address to listen on; any address other than this machine's own requires an API key in the store."""
    port: int = Field(8321, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    max_body_bytes: int = Field(2**20, ge=1024)
    """Maximum size of a request's body in bytes."""
    max_records: int = Field(1_000, ge=1)
    """Maximum number of records in one scoring request."""
    max_requests: int = Field(64, ge=1)
    """Maximum number of requests in progress, apart from health and metrics."""
    max_requests_per_address: int = Field(32, ge=1)
    """Maximum number of requests in progress from one address, such as that of a proxy."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-For names the client, such as ["127.0.0.1"]; none by
    default."""
    log: Literal["text", "json"] = "text"
    """Format of a log line."""
    waiting_after: PositiveDuration = timedelta(seconds=20)
    """A run that waits for a database longer than this is an event, and keeps no other run waiting."""


class AlertsConfig(Section):
    """Channels that receive alerts."""

    channels: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")], SecretStr] = Field({})
    """Name and Apprise address of each channel."""
    link: Link | None = None
    """Address of an incident's page for people, with {id} in place of its number; alerts link to it."""
    per_hour: int = Field(20, ge=1)
    """Maximum number of messages to a channel per hour; further ones are held back and sent as one digest."""


class RetrainConfig(Section):
    """When a monitor is retrained, and on which records."""

    every: Schedule = None
    """Cron expression or interval at which `serve` requests a training; never by default."""
    on_drift: bool = False
    """Whether drift requests a training."""
    promote: Literal["if_better", "always", "manual"] = "if_better"
    """When the new model becomes champion; a degenerate model is never promoted."""
    history: Duration | None = None
    """Length of the trailing window of records that a training reads; by default only max_training_records bounds it
    (needs time)."""
    learn_incidents: Literal["never", "labelled", "all"] = "labelled"
    """Which ended incidents a training may learn as normal; labelled: those labelled false_positive or known, and of
    the slightest others as many records as the false-positive rate flags by chance; never: none; all: all that nobody
    confirmed."""
    learn_labels: bool = True
    """Whether ten labels or more raise the scores of records that deviate as confirmed ones do, if cross-validation
    shows a gain; not for series."""
    cooldown: Duration = timedelta(days=1)
    """Minimum time between two trainings that drift requests."""


class DriftConfig(Section):
    """When the newest records count as different from those that the model was trained on."""

    records: int = Field(2_000, ge=100)
    """Newest records to compare, in whole batches."""
    level: float = Field(1e-4, gt=0, lt=1)
    """Level of the tests against chance: of the p-values against the uniform distribution, and of each index."""
    distance: float = Field(0.1, gt=0, lt=1)
    """Smallest Kolmogorov-Smirnov distance that counts, since many records make any distance significant."""
    psi: float = Field(0.25, gt=0)
    """Population stability index at which a feature has drifted."""


AlertOccasion = Literal["open", "worse", "new_cause", "end", "reminder"]


class AlertRoute(Section):
    """Channels that receive incidents from a severity on."""

    severity: float = Field(ge=0, le=100)
    """The peak severity from which the channels receive an incident."""
    channels: tuple[str, ...] = Field(min_length=1)
    """Names of channels."""


class FlaggedOf(Section):
    """A number of flagged records among the last records of an entity."""

    records: int = Field(ge=1)
    """Number of flagged records."""
    of: int = Field(ge=1, le=1_000)
    """Number of records of the entity, one after another."""

    @model_validator(mode="after")
    def _check(self) -> "FlaggedOf":
        if self.records > self.of:
            msg = f"of {self.of} records no {self.records} can be flagged; set of to at least {self.records}"
            raise ValueError(msg)
        return self


InARow = Annotated[int, Field(ge=1, le=1_000)] | FlaggedOf


class MonitorAlerts(Section):
    """Which incidents of a monitor are reported, on which occasions, and to which channels."""

    channels: tuple[str, ...] | None = None
    """Names of channels; all by default."""
    severity: float = Field(0.0, ge=0, le=100)
    """An incident is reported once its peak severity reaches this."""
    escalate_severity: float = Field(80.0, ge=0, le=100)
    """It is severe once its peak severity reaches this: reported again, and in quiet hours as well."""
    on: tuple[AlertOccasion, ...] = ("open", "worse", "new_cause", "end")
    """The occasions on which an incident is reported."""
    worse_by: float = Field(3.0, gt=1)
    """An incident is worse once its peak score is this many times the score last reported."""
    remind_every: Duration = timedelta(days=1)
    """How long an open incident stays unmentioned, for the occasion reminder."""
    records: int = Field(1, ge=1)
    """An incident is reported once it holds this many flagged records."""
    consecutive: InARow = 1
    """An incident is reported once this many consecutive records of its entity are flagged; {records = 3, of = 5}: once
    3 of 5 consecutive records are."""
    direction: dict[str, Literal["up", "down"]] = Field({})
    """Features that matter only above ("up") or below ("down") their expected value."""
    ignore_below: dict[str, Annotated[float, Field(gt=0)]] = Field({})
    """The smallest deviation from its expected value that matters, by feature and in its unit."""
    look_alike_radius: float = Field(0.2, ge=0, lt=2)
    """Distance of causes up to which a record or incident resembles a labelled one: nobody is alerted of what resembles
    a false_positive, and no severity or number of records holds back what resembles a confirmed one; 0: none does."""
    quiet_hours: Annotated[str, Field(pattern=QUIET_HOURS)] | None = None
    """Time of day, such as "22:00-06:00", in which only severe incidents are reported at once; others wait."""
    routes: tuple[AlertRoute, ...] = ()
    """Channels that receive only incidents from a severity on; a channel without a route receives all."""
    link: Link | None = None
    """Address of an incident's page, with {id} in place of its number; by default that of [alerts]."""
    newest: Duration = timedelta(days=1)
    """Incidents that ended longer ago than this are summed up in one message, so a first run over history is quiet."""

    @property
    def flagged_of(self) -> FlaggedOf:
        """The number of flagged records among consecutive ones from which an incident is reported."""
        rule = self.consecutive
        return rule if isinstance(rule, FlaggedOf) else FlaggedOf(records=rule, of=rule)


class MaintenanceWindow(Section):
    """A time in which anomalies are expected: their rows are marked, and no alert is sent."""

    cron: str | None = None
    """When the window opens, repeatedly, each time for `duration`."""
    duration: Duration | None = None
    """Length of a window by `cron`."""
    start: Time | None = None
    """Start of a single window."""
    end: Time | None = None
    """End of a single window."""
    entity: str | None = None
    """The entity that it applies to; all by default."""

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
