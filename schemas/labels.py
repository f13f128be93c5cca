"""Labels of flagged records."""

from typing import Literal, TypeAlias, get_args

Label: TypeAlias = Literal["open", "confirmed", "false_positive", "known"]

LABELS: tuple[Label, ...] = get_args(Label)

REAL_LABELS: tuple[Label, ...] = ("confirmed", "known")
"""Labels of records in which something was wrong."""

LEARNED_LABELS: tuple[Label, ...] = ("false_positive", "known")
"""Labels of records that a training may learn as normal."""

JUDGED_LABELS: tuple[Label, ...] = ("confirmed", "false_positive", "known")
"""Labels that are a verdict of a person."""
