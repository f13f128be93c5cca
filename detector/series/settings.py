"""What a series model is told before it sees a record."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Pooling = Literal["per_entity", "shared", "auto"]
Selection = Literal["all", "auto"]


@dataclass(frozen=True)
class SeriesSettings:
    """Settings of a series model.

    Attributes:
        models: one model for each entity, one for all, or one for each entity that has enough records and one for
            the others.
        max_gap: longest step of time within which a record is the next one; after a longer step the past is
            forgotten. In seconds for date-times, else in the unit of the times; None for no limit.
        smoothing: half-lives of the score's running means, in records. An anomaly must last about as long as the
            shortest one to count in full, which is the delay of an alarm.
        reference: most records kept to measure distances to.
        fewest: records that an entity needs for a model of its own, with `models = "auto"`.
        select: whether the views count alike, or each by how well it tells synthetic anomalies in held-back records.
        network: whether a variational autoencoder adds two views; training it needs Keras, scoring does not.
        seed: of the network's training and of the synthetic anomalies; nothing else is random.
    """

    models: Pooling = "auto"
    max_gap: float | None = None
    smoothing: tuple[int, ...] = (2, 8)
    reference: int = 2000
    fewest: int = 300
    select: Selection = "all"
    network: bool = False
    seed: int = 0

    def to_state(self) -> dict[str, Any]:
        """The settings as numbers, strings and lists; without those that are as they were before they existed."""
        state = {**asdict(self), "smoothing": list(self.smoothing)}
        is_plain = {"select": self.select == "all", "network": not self.network}
        is_plain["seed"] = all(is_plain.values())
        return {name: value for name, value in state.items() if not is_plain.get(name)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The settings that gave the state."""
        return cls(**(state | {"smoothing": tuple(state["smoothing"])}))
