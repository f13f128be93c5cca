"""The option `--columns`: the columns of a table that a command prints for people."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from schemas.nearest import suggestion

_RECORD = ("record_key", "record_time", "entity")
_SCORES = ("anomaly_score", "threshold", "threshold_ratio", "p_value", "reconstruction_error", "elbo")
_STATES = ("top_feature", "label", "labelled_at", "incident_id", "is_muted")
ANOMALY_COLUMNS = (
    "id", "monitor", *_RECORD, "severity", *_SCORES, *_STATES, "model_id", "batch_id", "flagged_at", "superseded_at"
)  # fmt: skip
"""The columns of `anomalies list`: attributes of `jobs.store.StoredAnomaly`."""
RANKED_COLUMNS = (*_RECORD, *_SCORES, "is_anomaly")
"""The columns of `top`: attributes of `jobs.ranking.RankedRecord`."""


class ColumnList(click.ParamType[tuple[str, ...]]):
    """Names of columns, separated by commas.

    Args:
        names: of the columns that a table can have.
    """

    name = "columns"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names in the order in which they were given."""
        if isinstance(value, tuple):
            return value
        columns = tuple(part.strip() for part in str(value).split(","))
        for column in columns:
            if column not in self.names:
                hint = suggestion(column, self.names)
                self.fail(f"There is no column {column!r}.{hint} Use some of: {', '.join(self.names)}.", param, ctx)
        return columns


def columns_option(names: Sequence[str]) -> Callable[[Any], Any]:
    """Return the option of a command whose table can have the columns."""
    help_text = "Columns to print instead of the usual ones, separated by commas, such as record_key,elbo."
    return click.option("--columns", type=ColumnList(names), metavar="NAME,...", help=help_text)


def cells_of(row: Any, columns: Sequence[str]) -> tuple[Any, ...]:
    """Return the attributes of a row as cells of a table; ids are texts, and a flag that is not set is empty."""
    return tuple(_cell(getattr(row, column)) for column in columns)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else None
    return str(value) if isinstance(value, int) else value
