"""The outcome of a check."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The outcome of a check: a problem with its solution, or success."""

    level: Literal["ok", "warning", "error"]
    message: str
    is_about_speed: bool = False
    """Whether it changes how long a run takes, and nothing else."""
