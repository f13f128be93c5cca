"""When the incident of a flagged row began, by the scores between flagged rows; null for rows of earlier versions."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from schemas.column_types import Json, UtcDateTime
from schemas.views import drop_own_view, joined_name

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = ("anomalies", "incidents")
STATES = ("state_before", "state_after")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("began_at", UtcDateTime))


def downgrade() -> None:
    connection = op.get_bind()
    monitors = sa.table("models", sa.column("monitor")).c.monitor
    for monitor in connection.scalars(sa.select(monitors).distinct()).all():
        drop_own_view(connection, joined_name(monitor))  # it has the column; the next training creates it again
    for table in TABLES:
        op.drop_column(table, "began_at")
    _restore_states(connection)


def _restore_states(connection: sa.Connection) -> None:
    """Bring the states of tracked thresholds to the form that earlier versions read, batch by batch."""
    key: list[sa.ColumnClause[Any]] = [sa.column(name) for name in ("model_id", "entity", "batch_id")]
    states: list[sa.ColumnClause[Any]] = [sa.column(name, Json) for name in STATES]
    trackers = sa.table("trackers", *key, *states)
    is_row = (part == sa.bindparam(f"of_{part.name}") for part in key)
    values = {name: sa.bindparam(f"new_{name}", type_=Json) for name in STATES}
    change = sa.update(trackers).values(values).where(*is_row)
    for batch_id in connection.scalars(sa.select(trackers.c.batch_id).distinct()).all():
        rows = connection.execute(sa.select(trackers).where(trackers.c.batch_id == batch_id)).mappings().all()
        of_rows = ({f"of_{part.name}": row[part.name] for part in key} for row in rows)
        new = ({f"new_{name}": _earlier(row[name]) for name in STATES} for row in rows)
        connection.execute(change, [row | states for row, states in zip(of_rows, new, strict=True)])


def _earlier(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state without the incident and the largest calibration score, which earlier versions refuse."""
    steady = state.get("steady")
    kept = {name: value for name, value in state.items() if name != "incident"}
    if steady is None:
        return kept
    return kept | {"steady": {name: value for name, value in steady.items() if name != "largest"}}
