"""Labels of flagged records."""

from typing import Literal, TypeAlias, get_args

Label: TypeAlias = Literal["open", "confirmed", "false_positive", "known"]

LABELS: tuple[Label, ...] = get_args(Label)
