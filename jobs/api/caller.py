"""Whoever sends a request: the name for the audit, and the rights."""

from dataclasses import dataclass

from jobs.store.api_keys import Scope


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    Attributes:
        name: for the audit.
        scope: what it may do.
        monitors: the only monitors that it may see; None for all.
        key_name: name of its API key; None if it has none.
    """

    name: str
    scope: Scope
    monitors: frozenset[str] | None = None
    key_name: str | None = None

    @property
    def may_write(self) -> bool:
        """Whether it may label, acknowledge, request trainings and enter maintenance."""
        return self.scope != "read"

    @property
    def may_promote(self) -> bool:
        """Whether it may choose the champion; keys of scope `write` could before there were other scopes."""
        return self.scope in {"write", "admin"}

    @property
    def may_tune(self) -> bool:
        """Whether it may store settings of the monitors that it sees."""
        return self.scope == "admin"

    @property
    def may_manage(self) -> bool:
        """Whether it may manage what belongs to no monitor: keys and channels."""
        return self.scope == "admin" and self.monitors is None

    def sees(self, monitor: str) -> bool:
        """Return whether it may see a monitor and what belongs to it."""
        return self.monitors is None or monitor in self.monitors
