"""The exception tree. Every error states what happened, what was expected and what to do.

PlumblineError
├── ConfigError            config.toml is invalid
├── UsageError             the call is invalid
│   └── NoSuchMonitor
├── RecordsError           the records do not fit the request
│   ├── MissingColumns
│   ├── NotEnoughRecords
│   └── RateTooSmall
├── ArtifactError          a stored model cannot be trusted
├── BackendError           Keras' backend or device is not available
├── BitsDiffer             on this machine a record does not get the same bits in every batch
├── SourceError            a watched table cannot be read
├── AlertError             a channel rejected a message
├── TooManyRequests        a monitor had its trainings requested too often
└── StoreError             the service's own database cannot be used
    ├── NoChampion
    ├── LostLease
    └── LostRequest
"""

import math
from collections.abc import Iterable


class PlumblineError(Exception):
    """Base of every error that Plumbline raises on purpose."""


class ConfigError(PlumblineError):
    """config.toml, or a value in it, is invalid."""


class UsageError(PlumblineError):
    """A command or a function was called with something that does not exist."""


class NoSuchMonitor(UsageError):
    """The configuration has no monitor of this name."""

    def __init__(self, name: str, configured: Iterable[str]) -> None:
        listed = ", ".join(sorted(configured)) or "none"
        super().__init__(
            f"There is no monitor {name!r} in the configuration. Its monitors: {listed}. "
            f"Add [monitors.{name}] to it, or name one of its monitors."
        )


class RecordsError(PlumblineError, ValueError):
    """Records do not have the expected columns, types or number."""


class MissingColumns(RecordsError):
    """Records lack columns that the model was trained on."""

    def __init__(self, missing: Iterable[str], received: Iterable[str]) -> None:
        super().__init__(
            f"The records lack the columns {sorted(missing)}; received {list(received)}. "
            "Check the features in config.toml, or train again if the table changed."
        )


class NotEnoughRecords(RecordsError):
    """There are fewer normal records than training needs."""

    def __init__(self, found: int, needed: int, purpose: str) -> None:
        self.found, self.needed = found, needed
        super().__init__(
            f"Found {found} normal records, needed at least {needed} {purpose}. "
            "Collect more records, or widen `normal` in config.toml."
        )


class RateTooSmall(RecordsError):
    """The calibration records are too few for the false-positive rate."""

    def __init__(self, rate: float, found: int) -> None:
        self.needed = math.ceil(1 / rate) - 1
        super().__init__(
            f"A false-positive rate of {rate:g} needs {self.needed} calibration records, found {found}. "
            f"Collect more normal records, set a rate of {1 / (found + 1):.2g} or more, "
            'or set threshold = "pot" to extrapolate the tail.'
        )


class ArtifactError(PlumblineError):
    """A stored model was tampered with, is truncated, or was written by another version."""


class BackendError(PlumblineError):
    """The requested Keras backend or device is not available."""


class BitsDiffer(PlumblineError):
    """On this machine a record's numbers depend on the batch that it is computed in."""

    def __init__(self, differing: int, checked: int, processor: str) -> None:
        super().__init__(
            f"On this processor ({processor}) {differing} of {checked} functions give a record other bits in another "
            "batch; all should give the same. Scores stay right up to rounding; please report the table above."
        )


class SourceError(PlumblineError):
    """A watched table cannot be read as configured."""


class AlertError(PlumblineError):
    """A channel rejected a message."""


class TooManyRequests(PlumblineError):
    """A monitor has had as many retrain requests within an hour as the store accepts."""

    def __init__(self, monitor: str, limit: int) -> None:
        super().__init__(
            f"Monitor {monitor!r} has had {limit} retrain requests within an hour, the most that are accepted. "
            "One training serves all that wait. Try again later."
        )


class StoreError(PlumblineError):
    """The service's own database cannot be used."""


class NoChampion(StoreError):
    """A monitor has no trained model yet."""

    def __init__(self, monitor: str) -> None:
        super().__init__(f"Monitor {monitor!r} has no champion model yet. Train one: plumbline train {monitor}")


class LostLease(StoreError):
    """Another worker took a batch over; this worker's result was discarded."""

    def __init__(self, batch_id: int) -> None:
        super().__init__(
            f"The lease on batch {batch_id} ran out and another worker claimed it; this result was discarded. "
            "Nothing is lost. If it recurs, lower `batch_size` in config.toml."
        )


class LostRequest(StoreError):
    """Another worker took a retrain request over; this worker's model was discarded."""

    def __init__(self, request_id: int) -> None:
        super().__init__(
            f"The lease on retrain request {request_id} ran out and another worker claimed it; "
            "this model was discarded. The other worker trains one."
        )
