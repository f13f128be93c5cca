"""The settings of a series model."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from schemas.errors import ConfigError

Pooling = Literal["per_entity", "shared", "auto"]
Selection = Literal["all", "auto"]
ScoreName = Literal["fused", "reconstruction_error", "elbo"]

MIN_RECORDS = 50  # normal ones, below which no series is learned


@dataclass(frozen=True)
class SeriesSettings:
    """Settings of a series model.

    Attributes:
        models: "per_entity" trains a model for each entity, "shared" one model for all, "auto" a model for each entity
            with enough records and a shared model for the others.
        max_gap: longest time step between a record and the next; after a longer step the past is forgotten. In
            seconds for date-times, else in the unit of the times; None for no limit.
        smoothing: half-lives of the score's running means, in records. An anomaly must last about as long as the
            shortest one to count in full, which is the delay of an alarm.
        reference: largest number of records kept to measure distances to.
        fewest: number of records that an entity needs for a model of its own, with `models = "auto"`; fewer suffice if
            the entities are unlike each other.
        select: "all" weighs all signals alike, "auto" weighs each by how well it detects synthetic anomalies in
            held-back records.
        calendar: whether channels are expected by time of day and day of the week: "auto" decides for each channel by
            held-back records, True demands it of all channels.
        time_zone: of the calendar.
        holidays: dates such as "2026-12-25" that count as Sundays.
        network: whether a variational autoencoder is trained, which gives each record its reconstruction error and its
            ELBO, and adds two signals; training it needs Keras, scoring does not.
        score: the anomaly score: "fused" of all signals, or one of the VAE scores, which needs a network.
        recovery: whether a fault is left out of the past of the records after it, once they are usual again.
        recent_causes: whether the records before a record count for its causes, and the relation of channels.
        seed: of the network's training and of the synthetic anomalies; nothing else is random.
    """

    models: Pooling = "auto"
    max_gap: float | None = None
    smoothing: tuple[int, ...] = (2, 8)
    reference: int = 2000
    fewest: int = 300
    select: Selection = "all"
    calendar: Literal["auto"] | bool = "auto"
    time_zone: str = "UTC"
    holidays: tuple[str, ...] = ()
    network: bool = True
    score: ScoreName = "fused"
    recovery: bool = True
    recent_causes: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a score that the model would not have.

        Raises:
            ConfigError: If the score is one of a network, and no network is trained.
        """
        if self.score != "fused" and not self.network:
            raise ConfigError(
                f'score = "{self.score}" of series is a score of the network, and network = false trains none. '
                'Set network = true, or score = "fused".'
            )

    def to_state(self) -> dict[str, Any]:
        """Return the settings as JSON values; newer settings are left out if they have no effect."""
        state = {**asdict(self), "smoothing": list(self.smoothing), "holidays": list(self.holidays)}
        is_default = {"select": self.select == "all", "network": not self.network}
        is_default["seed"] = all(is_default.values())
        is_default |= dict.fromkeys(("calendar", "time_zone", "holidays"), self.calendar is False)
        is_default |= {"score": self.score == "fused", "recovery": not self.recovery}
        is_default["recent_causes"] = not self.recent_causes
        return {name: value for name, value in state.items() if not is_default.get(name)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the settings of a state that `to_state` wrote."""
        tuples = {name: tuple(state.get(name, ())) for name in ("smoothing", "holidays")}
        added = ("calendar", "network", "recovery", "recent_causes")  # to later versions than the model's may be
        return cls(**(dict.fromkeys(added, False) | state | tuples))
