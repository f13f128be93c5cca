"""Whoever sends a request: the name for the audit, and the rights."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    Attributes:
        name: for the audit.
        may_write: whether it may label and request trainings.
        monitors: the only monitors that it may see; None for all.
        key_name: name of its API key; None if it has none.
    """

    name: str
    may_write: bool
    monitors: frozenset[str] | None = None
    key_name: str | None = None

    def sees(self, monitor: str) -> bool:
        """Return whether it may see a monitor and what belongs to it."""
        return self.monitors is None or monitor in self.monitors
