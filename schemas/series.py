"""The section of the configuration for series."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.section import Duration, Section

LONGEST_HALF_LIFE = 1_000
_SECOND = timedelta(seconds=1)
_COUNTRY = re.compile(r"[A-Za-z ]+(-[^./\\]*)?")  # or what resembles one: the package `holidays` is not imported here


class SeriesConfig(Section):
    """Settings of series of records; the defaults work without tuning."""

    models: Literal["per_entity", "shared", "auto"] = "auto"
    """per_entity: one model for each entity; shared: one for all; auto: one for each entity that has `fewest`
    records, or 100 if the entities are unlike each other, and a shared one for the others and for new entities."""
    max_gap: Duration | None = None
    """A longer step in time resets the past; never by default."""
    resample: Duration | None = None
    """Step of a grid in time, in whole seconds: the rows of an entity in a cell become one record once the cell is
    over. By default each row is a record."""
    resample_by: Literal["mean", "last"] = "mean"
    """The value of each feature in a cell: the mean of its values, or the last one."""
    smoothing: tuple[Annotated[int, Field(ge=1, le=LONGEST_HALF_LIFE)], ...] = Field((2, 8), min_length=1, max_length=8)
    """Half-lives of the score's running means, in records. An anomaly must last about as long as the shortest
    one to count in full, which delays its alarm by as much."""
    usual_after: int = Field(300, ge=20)
    """With threshold = "online", the default: records of an incident after which the level of its scores counts as
    usual, so that they are no longer flagged; an event reports it."""
    reference: int = Field(2_000, ge=10)
    """Maximum number of training records kept in a model to measure distances to."""
    fewest: int = Field(300, ge=50)
    """Records that an entity needs for a model of its own, with models = "auto"; at most 100 if the entities are
    unlike each other."""
    select: Literal["all", "auto"] = "all"
    """all: the signals of a record count alike; auto: each by how well it detects synthetic anomalies in held-out
    normal records of the entity."""
    calendar: Literal["auto"] | bool = "auto"
    """Whether values are expected by time of day, day of the week and, for daily records, day of the month, in the
    monitor's time zone; auto: for each channel whose held-back records are expected better so."""
    holidays: tuple[date, ...] | str = ()
    """Days that count as Sundays: dates such as ["2026-12-25"], the public holidays of a country, such as "DE", or of
    its subdivision, such as "DE-BY" (ISO 3166), or the path of an iCalendar file (.ics)."""
    network: bool = True
    """Whether a variational autoencoder gives each record its reconstruction error and its ELBO, and adds two signals;
    training takes about twice as long."""
    score: Literal["fused", "reconstruction_error", "elbo"] = "fused"
    """The anomaly score that is calibrated and compared with the threshold: fused from all signals, or one score of the
    network alone, without smoothing."""
    seed: int = Field(0, ge=0)
    """Seed of the autoencoders' training and of the synthetic anomalies; nothing else is random."""

    @property
    def has_calendar_file(self) -> bool:
        """Whether `holidays` is the path of a file."""
        return isinstance(self.holidays, str) and self.holidays.lower().endswith(".ics")

    @property
    def holiday_country(self) -> str | None:
        """The country whose public holidays count as Sundays, or one with a subdivision; None for other holidays."""
        return self.holidays if isinstance(self.holidays, str) and not self.has_calendar_file else None

    @model_validator(mode="after")
    def _check(self) -> "SeriesConfig":
        if self.max_gap is not None and self.max_gap <= timedelta(0):
            raise ValueError("max_gap must be longer than 0")
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        if self.holiday_country is not None and not _COUNTRY.fullmatch(self.holiday_country):
            yield (
                'holidays must be a list of dates such as ["2026-12-25"], a country such as "DE", its subdivision such '
                'as "DE-BY", or the path of an .ics file'
            )
        if self.score != "fused" and not self.network:
            yield f'score = "{self.score}" needs network = true: it is a score of the network'
        yield from self._resample_problems()

    def _resample_problems(self) -> Iterator[str]:
        if self.resample is None:
            return
        if self.resample < _SECOND or self.resample % _SECOND:
            yield f"resample must be whole seconds, not {self.resample.total_seconds():g} s"
        if self.max_gap is not None and self.max_gap < self.resample:
            yield "max_gap must not be shorter than resample: a record would never have a past"
