"""Origin of a model: the records, the versions and the epochs of its training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from detector.core.json_values import present_fields
from schemas.keys import Key, load_key


@dataclass(frozen=True)
class TrainingRange:
    """The normal records that a model was trained on, including the records held out for its comparison.

    Attributes:
        records: number of records.
        first_key: key of the first record, for people.
        last_key: key of the last record, for people.
        upto_key: the exact last key, as `schemas.keys.dump_key` writes it.
        first_time: earliest time in ISO form; None without times.
        last_time: latest time in ISO form; None without times.
        left_out: number of normal records left out, by reason.
    """

    records: int = 0
    first_key: str = ""
    last_key: str = ""
    upto_key: str = ""
    first_time: str | None = None
    last_time: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def keys(self) -> str:
        """The first and the last key, for people."""
        return f"{self.first_key} to {self.last_key}"

    @property
    def last(self) -> Key | None:
        """The last key; None if it is not recorded."""
        return load_key(self.upto_key) if self.upto_key else None

    @property
    def times(self) -> str | None:
        """The first and the last time, for people; None without times."""
        return f"{self.first_time} to {self.last_time}" if self.first_time else None


@dataclass(frozen=True)
class PastEpoch:
    """An epoch of a finished training; ELBOs in nats per record.

    Attributes:
        number: of the epoch, from 1.
        of: number of planned epochs.
        elbo: on the training records.
        held_out_elbo: on the validation records; None if there are none.
    """

    number: int = 0
    of: int = 0
    elbo: float | None = None
    held_out_elbo: float | None = None


@dataclass(frozen=True)
class UnusualRecords:
    """Training records that look unlike the others.

    Attributes:
        share: estimated share of the training records.
        positions: of the most unusual ones among the training records, the most unusual first.
    """

    share: float = 0.0
    positions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Pace:
    """The time from a record of an entity to its next one, in seconds.

    Attributes:
        step: the usual time.
        longest_step: the usual time of the entity whose records come least often.
    """

    step: float
    longest_step: float


@dataclass(frozen=True)
class About:
    """The origin of a model, which its artifact stores as JSON.

    Attributes:
        training: the records that the model was trained on.
        versions: of the libraries, and the backend.
        history: the epochs of its networks.
        grid: time grid that the records were aggregated on; None without aggregation.
        outlying: positions of the calibration records whose scores lie far above the others, and set no threshold.
        unusual: training records that look unlike the others; None if the model has no estimate of them.
        profile: state of the `detector.core.drift.Profile` of the training records; None if the model has none.
        labels: what labels did to the model; None if it was trained without labels.
        pace: of the training records; None if the model is of single records or of an earlier version.
    """

    training: TrainingRange = TrainingRange()
    versions: Mapping[str, str] = field(default_factory=dict)
    history: tuple[PastEpoch, ...] = ()
    grid: str | None = None
    outlying: tuple[int, ...] = ()
    unusual: UnusualRecords | None = None
    profile: Mapping[str, Any] | None = None
    labels: Mapping[str, Any] | None = None
    pace: Pace | None = None

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> Self:
        """Read `about` of an artifact; a missing entry keeps its default."""
        return cls(
            **present_fields(cls, about)
            | {
                "training": TrainingRange(**present_fields(TrainingRange, about.get("training", {}))),
                "history": tuple(PastEpoch(**present_fields(PastEpoch, epoch)) for epoch in about.get("history", ())),
                "unusual": _unusual(about.get("unusual")),
                "pace": None if about.get("pace") is None else Pace(**about["pace"]),
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that the artifact stores, without entries that are None."""
        entries = {
            "training": {**vars(self.training), "left_out": dict(self.training.left_out)},
            "versions": dict(self.versions),
            "history": [asdict(epoch) for epoch in self.history],
            "grid": self.grid,
            "profile": self.profile,
            "labels": self.labels,
            "outlying": list(self.outlying) or None,
            "unusual": None if self.unusual is None else asdict(self.unusual),
            "pace": None if self.pace is None else asdict(self.pace),
        }
        return {name: value for name, value in entries.items() if value is not None}


def _unusual(state: Mapping[str, Any] | None) -> UnusualRecords | None:
    if state is None:
        return None
    return UnusualRecords(float(state.get("share", 0.0)), tuple(state.get("positions", ())))
