"""What a flagged record can turn out to be."""

from typing import Literal, TypeAlias, get_args

Label: TypeAlias = Literal["open", "confirmed", "false_positive", "known"]

LABELS: tuple[Label, ...] = get_args(Label)
