"""The configuration: frozen values read from config.toml; unknown keys are refused.

A value is parsed once, here. Texts such as database addresses may refer to environment variables as ``${NAME}``;
addresses are secrets, so that no log, error or ``--json`` document shows them.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator

from schemas import variables
from schemas.errors import ConfigError, NoSuchMonitor
from schemas.frames import Features
from schemas.nearest import nearest_name
from schemas.section import (
    MONITOR_NAME,
    Columns,
    Duration,
    IncidentGap,
    Schedule,
    Section,
    SilentAfter,
    TimeZone,
    known_keys,
)
from schemas.series import SeriesConfig
from schemas.service import (
    AlertsConfig,
    DriftConfig,
    MaintenanceWindow,
    MonitorAlerts,
    RetrainConfig,
    ServiceConfig,
    SourceTimeouts,
    StoreConfig,
)

_FOLLOWS_ANOTHER_ERROR = "default_factory_not_called"  # pydantic's type of the error


class RuntimeConfig(Section):
    """The framework and the device that train, and the executor that batches are computed on."""

    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    """The Keras backend."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto: a GPU if there is one; gpu without one is an error."""
    executor: str = Field("local", pattern=r"^(local|dask|[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*)$")
    """Where score, rescore, evaluate, forecast and retrain --work compute: local, in their own process; dask, on a Dask
    cluster; package.module:factory, on the `concurrent.futures.Executor` that the function returns."""
    scheduler: str | None = None
    """Address of the Dask scheduler, such as tcp://scheduler:8786; by default that of Dask's own configuration."""
    tasks: int = Field(64, ge=1, le=10_000)
    """Maximum number of tasks of a command that wait or run on the executor."""


NetworkKind = Literal["vae", "autoencoder"]
Likelihood = Literal["auto", "mse", "bce"]
"""That of every cell; `auto` is that of the cell's kind."""


class ModelConfig(Section):
    """Hyper-parameters of a model; the defaults work without tuning."""

    kind: NetworkKind = "vae"
    """autoencoder: a baseline without sampling and KL term."""
    score: Literal[
        "ensemble", "combined", "local_reconstruction", "joint_knn", "latent_knn", "elbo", "reconstruction_error"
    ] = "ensemble"
    """Which anomaly score is calibrated and compared with the threshold."""
    likelihood: Likelihood = "auto"
    """auto: Gaussian with learned variance, Bernoulli or categorical by feature type; mse: squared error
    on every cell; bce: cross-entropy on every cell scaled to [0, 1]."""
    members: int = Field(6, ge=1, le=64)
    """Networks in the ensemble, trained together as one batched model."""
    hidden: int = Field(64, ge=1, le=4096)
    """Units of each hidden layer."""
    latent: int | None = Field(None, ge=1, le=512)
    """Latent dimensions; by default derived from the number of encoded columns."""
    beta: float = Field(1.0, ge=0)
    """Weight of the KL term."""
    warm_up: float = Field(0.3, ge=0, le=1)
    """Share of the steps over which beta grows from 0."""
    steps: int = Field(500, ge=1)
    """Maximum number of optimiser steps."""
    batch_size: int = Field(128, ge=1)
    """Records in a training step, for each member."""
    learning_rate: float = Field(3e-3, gt=0)
    """AdamW's peak rate, on a cosine schedule."""
    weight_decay: float = Field(1e-4, ge=0)
    """AdamW's decay."""
    mask_rate: float = Field(0.5, ge=0, lt=1)
    """Half the rows of a step hide each column with a probability drawn from U(0, mask_rate)."""
    noise: float = Field(0.1, ge=0)
    """Standard deviation of the noise on training inputs, in standardised units."""
    patience: int = Field(3, ge=1)
    """Epochs without a better held-out ELBO after which training stops."""
    neighbours: int = Field(10, ge=2, le=100)
    """Training records that a record is reconstructed from or compared with."""
    max_reference: int = Field(10_000, ge=10)
    """Maximum number of reference records kept in the artifact for neighbour scores."""
    trim: float = Field(0.0, ge=0, le=0.5)
    """Share of the training records to leave out of the final model, those that a first model scores highest; for
    training records that contain anomalies. Training takes twice as long."""
    max_levels: int = Field(64, ge=2)
    """Maximum number of categories with a column of their own; rarer ones share one."""
    seed: int = Field(0, ge=0)
    """Seed of all randomness in training."""


ThresholdKind = Literal["conformal", "online", "pot", "f_beta"]


def _default_threshold(series: SeriesConfig | None) -> ThresholdKind:
    """Return the threshold of a monitor that names none: normal scores of a series move, those of records seldom do."""
    return "conformal" if series is None else "online"


class MonitorConfig(Section):
    """One watched table, with the settings of its model, schedule and alerts."""

    source: SecretStr | None = None
    """SQLAlchemy address of the database that holds the records; the store's by default."""
    table: str | None = None
    """Table or view, `schema.table` outside the default schema. Set either table or query."""
    query: str | None = None
    """A SELECT whose result is watched instead of a table."""
    key: Columns
    """Column (or columns) that is unique, never null, and grows."""
    time: str | None = None
    """Column with the time of a record."""
    updated: str | None = None
    """Column with the time of a record's last change; needed to detect corrections."""
    entity: str | None = None
    """Column with what a record is about, such as a machine or a customer."""
    numeric: Columns = ()
    """Numeric features."""
    boolean: Columns = ()
    """Yes/no features."""
    categorical: Columns = ()
    """Nominal features."""
    timestamp: Columns = ()
    """Date-time features, learned as time of day and day of week; of a series only its time column, which it learns by
    itself."""
    units: dict[str, str] = Field({})
    """Unit of a feature, for pictures and reports, such as `{ flow = "m³/h" }`."""
    series: SeriesConfig | None = None
    """Treat records as series of their entities; by default each record is scored by itself (needs time)."""
    normal: str | None = None
    """SQL condition for the records that training may use; all records by default."""
    label: str | None = None
    """Column that is true for known anomalies; used by evaluate and by threshold = "f_beta"."""
    false_positive_rate: float = Field(0.01, gt=0, lt=1)
    """Share of normal records that may be flagged."""
    threshold: ThresholdKind = Field(default_factory=lambda valid: _default_threshold(valid.get("series")))
    """conformal: by rank among held-out normal records; online, the default of series: starts like conformal, then
    follows the scores of each entity, so that the rate holds; pot: conformal with a generalised Pareto tail;
    f_beta: the score that maximises F-beta on labelled records."""
    flag: Literal["rate", "fdr", "online_fdr"] = "rate"
    """rate: records above the threshold; fdr: as many records of each batch as false_discovery_rate allows; online_fdr:
    as many of all records, one after another."""
    false_discovery_rate: float = Field(0.1, gt=0, lt=1)
    """Share of the flagged records that may be normal on average: of a batch for flag = "fdr", of the last fdr_memory
    records for "online_fdr"."""
    fdr_memory: int = Field(10_000, ge=100)
    """Number of records within which flagged records count, for flag = "online_fdr"."""
    f_beta: float = Field(1.0, gt=0)
    """Weight of recall against precision for threshold = "f_beta"."""
    holdout: Literal["auto", "random", "latest"] = "auto"
    """Which normal records calibrate: the latest block in time, or a random draw; auto: latest if the monitor has a
    time column."""
    trust_outliers: bool = False
    """Whether calibration records whose scores lie far above the others set the threshold too; by default `train` lists
    them and leaves them out."""
    max_training_records: int = Field(200_000, ge=10)
    """Maximum number of normal records that training reads, the newest ones."""
    batch_size: int = Field(50_000, ge=1)
    """Records read, scored and written at once."""
    lease: Duration = timedelta(minutes=15)
    """How long a worker may take for a batch before another may take it over."""
    settle: Duration = timedelta(0)
    """Records younger than this wait for the next run; set it if keys may commit out of order (needs time)."""
    late_after: Duration = timedelta(days=7)
    """How long a batch is watched for records that arrive late, are corrected or vanish; such a batch is rescored."""
    gap_after: Duration = timedelta(days=1)
    """A source whose newest record is older than this has stopped sending, which is an event (needs time)."""
    silent_after: SilentAfter = "auto"
    """How long an entity may send nothing while others send; auto: learned from its own pauses (needs time and entity).
    """
    retired: Columns = ()
    """Entities that no longer send, so that their silence is no event."""
    incident_gap: IncidentGap = "auto"
    """Flagged records of an entity no further apart than this are one incident; auto: 15 minutes, and of series until
    their scores have calmed down, or, with threshold = "conformal", 24 usual steps up to a day, but at least 6 steps of
    the entity whose records come least often."""
    score_every: Schedule = "5m"
    """Cron expression or interval at which `serve` scores, or never."""
    time_zone: TimeZone = "UTC"
    """Time zone of the monitor's cron expressions, quiet hours and times of day, and of its calendar."""
    store_scores: Literal["anomalies", "all"] = "anomalies"
    """all: keep the score of every record; anomalies: only of flagged records."""
    keep: Duration | None = None
    """As `store.keep`, which is the default, for this monitor."""
    top_features: int = Field(5, ge=1)
    """Causes stored with a flagged record."""
    model: ModelConfig = ModelConfig()
    retrain: RetrainConfig = RetrainConfig()
    drift: DriftConfig = DriftConfig()
    alert: MonitorAlerts = MonitorAlerts()
    timeouts: SourceTimeouts = SourceTimeouts()
    maintenance: tuple[MaintenanceWindow, ...] = ()

    @property
    def features(self) -> Features:
        """The watched columns by type; a series has its calendar in place of the time column among `timestamp`."""
        columns = {kind.name: getattr(self, kind.name) for kind in fields(Features)}
        if self.series is not None:
            columns["timestamp"] = tuple(name for name in self.timestamp if name != self.time)
        return Features(**columns)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of its alerts; `parse_config` lists all of them if the file names none."""
        return self.alert.channels or ()

    @property
    def first_threshold(self) -> Literal["conformal", "pot", "f_beta"]:
        """The kind of threshold that training sets, before any tracking."""
        return "conformal" if self.threshold == "online" else self.threshold

    @property
    def asked_rate(self) -> float | None:
        """The configured false-positive rate; None if no rate decides what is flagged."""
        return self.false_positive_rate if self.flag == "rate" and self.threshold != "f_beta" else None

    @property
    def is_in_order(self) -> bool:
        """Whether its batches are scored one after another, since each continues from the state of the last."""
        return self.threshold == "online" or self.flag == "online_fdr"

    @property
    def resample(self) -> timedelta | None:
        """The step of the grid that records are read on; None without a grid."""
        return None if self.series is None else self.series.resample

    @property
    def grid(self) -> str | None:
        """The grid in words, such as "10 s (mean)"; None without a grid."""
        if self.series is None or self.series.resample is None:
            return None
        return f"{self.series.resample.total_seconds():g} s ({self.series.resample_by})"

    @property
    def has_to_settle(self) -> bool:
        """Whether new records wait for `settle`, and for the end of their cell of the grid."""
        return bool(self.settle) or self.resample is not None

    @property
    def is_calibrated_by_time(self) -> bool:
        """Whether the latest normal records calibrate, not a random draw."""
        return self.holdout == "latest" or (self.holdout == "auto" and self.time is not None)

    @model_validator(mode="after")
    def _check(self) -> "MonitorConfig":
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> list[str]:
        names = self.features.names
        repeated = sorted({name for name in names if names.count(name) > 1})
        checks = {
            "exactly one of table and query is needed": (self.table is None) == (self.query is None),
            "at least one key column is needed": not self.key,
            "no feature is listed: fill numeric, boolean, categorical or timestamp": not names,
            f"the features {repeated} are listed twice": bool(repeated),
            f"units names {sorted(set(self.units) - set(names))}, which are no features": bool(
                set(self.units) - set(names)
            ),
            "the label cannot be a feature": self.label in names,
            "the only key column cannot be a feature: no two records share its value": (
                len(self.key) == 1 and self.key[0] in names
            ),
            "lease must be longer than 0": self.lease <= timedelta(0),
            "settle needs a time column": bool(self.settle) and self.time is None,
            "silent_after needs a time and an entity column": isinstance(self.silent_after, timedelta)
            and None in {self.time, self.entity},
            "retired lists entities, so it needs an entity column": bool(self.retired) and self.entity is None,
            "retrain.history needs a time column": self.retrain.history is not None and self.time is None,
            'holdout = "latest" needs a time column': self.holdout == "latest" and self.time is None,
            'threshold = "f_beta" needs a label column': self.threshold == "f_beta" and self.label is None,
            'threshold = "online" follows the scores of series, so it needs a section series': (
                self.threshold == "online" and self.series is None
            ),
            f'flag = "{self.flag}" goes by p-values, for which threshold must be "conformal" or "pot"': (
                self.flag != "rate" and self.threshold == "f_beta"
            ),
        }
        problems = [text for text, is_wrong in checks.items() if is_wrong] + self._alert_problems()
        return problems if self.series is None else [*problems, *self._series_problems()]

    def _alert_problems(self) -> list[str]:
        rules: dict[str, Mapping[str, Any]] = {
            "direction": self.alert.direction,
            "ignore_below": self.alert.ignore_below,
        }
        unknown = {rule: sorted({*features} - {*self.numeric}) for rule, features in rules.items()}
        return [
            f"alert.{rule} is about numeric features, and {names[0]!r} is none; they are: {', '.join(self.numeric)}"
            for rule, names in unknown.items()
            if names
        ]

    def _series_problems(self) -> list[str]:
        unfit = [name for name in self.features.names if name not in {*self.numeric, *self.boolean}]
        checks = {
            "series needs a time column": self.time is None,
            f"series has numeric and boolean features alone, so {unfit} cannot be among them; as timestamp it takes "
            "its time column, by which values are expected": bool(unfit),
            f'series needs threshold = "conformal" or "online", not "{self.threshold}"': (
                self.threshold not in {"conformal", "online"}
            ),
            'series needs flag = "rate": its p-values depend on each other': self.flag != "rate",
            'series is calibrated by its latest records, so holdout cannot be "random"': self.holdout == "random",
            "the time and the entity of a series cannot be features": bool(
                {self.time, self.entity} & set(self.features.names)
            ),
            "resample needs a key of one column, which is neither the time nor the entity": self.resample is not None
            and (len(self.key) != 1 or self.key[0] in {self.time, self.entity}),
        }
        return [text for text, is_wrong in checks.items() if is_wrong]


class Config(Section):
    """All settings of config.toml."""

    store: StoreConfig = StoreConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    service: ServiceConfig = ServiceConfig()
    alerts: AlertsConfig = AlertsConfig()
    monitors: dict[Annotated[str, Field(pattern=MONITOR_NAME)], MonitorConfig] = Field({})

    @model_validator(mode="after")
    def _check_channels(self) -> "Config":
        configured = set(self.alerts.channels)
        for name, monitor in self.monitors.items():
            own = configured if monitor.alert.channels is None else {*monitor.alert.channels}
            if unknown := sorted(own - configured):
                listed = ", ".join(sorted(configured)) or "none"
                msg = f"monitor {name!r} alerts the channel {unknown[0]!r}; the channels of [alerts] are: {listed}"
                raise ValueError(msg)
            routed = {channel for route in monitor.alert.routes for channel in route.channels}
            if unknown := sorted(routed - own):
                listed = ", ".join(sorted(own)) or "none"
                msg = f"monitor {name!r} routes incidents to the channel {unknown[0]!r}; its channels are: {listed}"
                raise ValueError(msg)
        return self

    def monitor(self, name: str) -> MonitorConfig:
        """Return the monitor of a name.

        Raises:
            NoSuchMonitor: If there is none.
        """
        if name not in self.monitors:
            raise NoSuchMonitor(name, self.monitors)
        return self.monitors[name]


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Return the configuration in a TOML file, with ``${NAME}`` replaced from `environ`.

    Raises:
        ConfigError: If the file is missing, is not TOML, or has an unknown key or an invalid value.
    """
    return config_from_text(read_text(path), path, environ)


def read_text(path: Path) -> str:
    """Return the text of a configuration file.

    Raises:
        ConfigError: If the file is missing or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        msg = f"There is no configuration at {path}. Write a starter with: plumbline init"
        raise ConfigError(msg) from None
    except OSError as exc:
        msg = f"{path} cannot be read: {exc.strerror}."
        raise ConfigError(msg) from exc
    except UnicodeDecodeError as exc:
        raise _no_toml(path, exc) from exc


def config_from_text(text: str, path: Path, environ: Mapping[str, str]) -> Config:
    """Return the configuration in a TOML text; `path` is for errors and relative SQLite files.

    Raises:
        ConfigError: If the text is not TOML, or has an unknown key or an invalid value.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise _no_toml(path, exc) from exc
    return parse_config(_expand(raw, environ, path), path)


def _no_toml(path: Path, cause: Exception) -> ConfigError:
    return ConfigError(f"{path} is not valid TOML: {cause}. Quote texts, and write lists in square brackets.")


def parse_config(raw: Mapping[str, Any], path: Path) -> Config:
    """Return the configuration in a parsed TOML document; `path` is for errors and relative database files."""
    try:
        config = Config.model_validate(raw)
    except ValidationError as exc:
        # The cause is left out: pydantic's text repeats the input, which may hold a password.
        errors = (error for error in exc.errors(include_input=False) if error["type"] != _FOLLOWS_ANOTHER_ERROR)
        msg = f"{path}: " + "; ".join(_sentence(error) for error in errors) + "."
        raise ConfigError(msg) from None
    return _with_channels(_anchored(config, path.parent))


def _expand(value: Any, environ: Mapping[str, str], path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, environ, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environ, path) for item in value]
    if not isinstance(value, str):
        return value
    missing = variables.missing(value, environ)
    if missing:
        msg = f"{path} names the environment variable {missing[0]}, which is not set. Export it before you start."
        raise ConfigError(msg)
    return variables.expand(value, environ)


def _sentence(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if part != "[key]") or "the file"
    if error["type"] != "extra_forbidden":
        return f"{place}: {error['msg'].removeprefix('Value error, ')}"
    nearest = nearest_name(str(error["loc"][-1]), known_keys(Config, error["loc"][:-1]), min_similarity=0)
    return f"{place} is not a known key; the nearest is {nearest!r}"


def _anchored(config: Config, folder: Path) -> Config:
    store = config.store.model_copy(update={"url": _anchored_url(config.store.url, folder)})
    monitors = {
        name: monitor.model_copy(update=_anchored_settings(monitor, folder))
        for name, monitor in config.monitors.items()
    }
    return config.model_copy(update={"store": store, "monitors": monitors})


def _anchored_settings(monitor: MonitorConfig, folder: Path) -> dict[str, Any]:
    """Return the settings of a monitor that name files, relative to the folder."""
    settings: dict[str, Any] = {"source": _anchored_url(monitor.source, folder)} if monitor.source else {}
    if monitor.series is not None and monitor.series.has_calendar_file:
        path = str(folder.absolute() / str(monitor.series.holidays))
        settings["series"] = monitor.series.model_copy(update={"holidays": path})
    return settings


def _with_channels(config: Config) -> Config:
    """Return the configuration with the channels of each monitor listed, without repeats."""

    def spelled_out(monitor: MonitorConfig) -> MonitorConfig:
        named = monitor.alert.channels
        channels = tuple(dict.fromkeys(config.alerts.channels if named is None else named))
        changes = {"channels": channels, "link": monitor.alert.link or config.alerts.link}
        return monitor.model_copy(update={"alert": monitor.alert.model_copy(update=changes)})

    return config.model_copy(update={"monitors": {name: spelled_out(item) for name, item in config.monitors.items()}})


def _anchored_url(url: SecretStr, folder: Path) -> SecretStr:
    scheme, _, rest = url.get_secret_value().partition(":///")
    is_file = scheme.split("+")[0] in {"sqlite", "duckdb"} and rest
    is_relative_file = is_file and not rest.startswith(("/", ":memory:", "file:"))
    return SecretStr(f"{scheme}:///{folder.absolute() / rest}") if is_relative_file else url
