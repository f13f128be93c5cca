"""Progress of a network's training, reported after each epoch."""

from dataclasses import dataclass

EPOCH_STEPS = 50


@dataclass(frozen=True)
class Epoch:
    """The state of a training after an epoch; ELBOs in nats per record.

    Attributes:
        number: of the epoch, from 1.
        of: number of planned epochs.
        elbo: on the training records.
        held_out_elbo: on the validation records; None if there are none.
    """

    number: int
    of: int
    elbo: float
    held_out_elbo: float | None = None
