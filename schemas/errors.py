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
├── ProblemsFound          a diagnosis found problems of a monitor
├── BitsDiffer             on this machine a record does not get the same bits in every batch
├── SourceError            a watched table cannot be read
│   └── SourceAway         its database cannot be reached
│       └── SourceTimeout
├── ExecutorError          an executor loses its tasks
├── AlertError             a channel rejected a message
├── TooManyRequests        a monitor had its trainings requested too often
└── StoreError             the service's own database cannot be used
    ├── NoChampion
    ├── NoEarlierChampion
    ├── LostLease
    └── LostRequest
"""

import math
from collections.abc import Iterable
from typing import Any

from schemas.nearest import suggestion
from schemas.texts import counted_noun, number


class PlumblineError(Exception):
    """Base of every error that Plumbline raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the text of an error, since the facts of which it was written are no longer known."""
        return _restored, (type(self), str(self), vars(self))


def _restored(kind: type[PlumblineError], text: str, attributes: dict[str, Any]) -> PlumblineError:
    error = kind.__new__(kind, text)
    vars(error).update(attributes)
    return error


class ConfigError(PlumblineError):
    """config.toml, or a value in it, is invalid."""


class UsageError(PlumblineError):
    """A command or a function was called with something that does not exist."""


class NoSuchMonitor(UsageError):
    """The configuration has no monitor of this name."""

    def __init__(self, name: str, configured: Iterable[str]) -> None:
        names = sorted(configured)
        listed = ", ".join(names) or "none"
        super().__init__(
            f"There is no monitor {name!r} in the configuration. Its monitors: {listed}.{suggestion(name, names)} "
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
            f"Found {counted_noun(found, 'normal record')}, needed at least {needed} {purpose}. "
            "Collect more records, or widen `normal` in config.toml."
        )


class RateTooSmall(RecordsError):
    """The calibration records are too few for the false-positive rate."""

    def __init__(self, rate: float, found: int) -> None:
        self.found, self.needed = found, math.ceil(1 / rate) - 1
        super().__init__(
            f"A false-positive rate of {number(rate)} needs {counted_noun(self.needed, 'calibration record')}, found "
            f"{found}. Collect more normal records, set a rate of {number(_rounded_up(1 / (found + 1)))} or more, "
            'or set threshold = "pot" to extrapolate the tail.'
        )


class LevelTooSmall(RateTooSmall):
    """The calibration records are too few for the levels of online discoveries."""

    def __init__(self, base: float, found: int, level: float) -> None:
        self.found, self.needed = found, math.ceil(1 / base) - 1
        RecordsError.__init__(
            self,
            f'With flag = "online_fdr" p-values down to {number(base)} decide, which needs '
            f'{counted_noun(self.needed, "calibration record")}, found {found}. Set threshold = "pot" to extrapolate '
            f"the tail, or set fdr_memory to at most {math.floor(level * (found + 1)):,}.",
        )


def _rounded_up(rate: float) -> float:
    """Return a rate in two significant digits, rounded up, so that as many records resolve it.

    >>> _rounded_up(1 / 149), _rounded_up(0.01)
    (0.0068, 0.01)
    """
    digits = 1 - math.floor(math.log10(rate))
    steps = 10.0**digits
    return round(math.ceil(round(rate * steps, 9)) / steps, digits)


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


class ProblemsFound(PlumblineError):
    """A diagnosis found problems of a monitor."""

    def __init__(self, count: int, monitor: str) -> None:
        problems = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(f"Found {problems} of monitor {monitor!r}. Mend the first, then diagnose again.")


class SourceError(PlumblineError):
    """A watched table cannot be read as configured."""


class ExecutorError(PlumblineError):
    """An executor cannot be reached, or loses its tasks again and again."""


class SourceAway(SourceError):
    """Raised if the database of a watched table cannot be reached, which may pass by itself."""


class SourceTimeout(SourceAway):
    """Raised if a source keeps its readers waiting, so that nothing is known about its records."""


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


class NoEarlierChampion(StoreError):
    """A monitor has no champion before its present one."""

    def __init__(self, monitor: str) -> None:
        super().__init__(
            f"Monitor {monitor!r} has no earlier champion to roll back to. Promote one of its models by: "
            f"plumbline models promote ID; they are listed by: plumbline models list {monitor}"
        )


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
