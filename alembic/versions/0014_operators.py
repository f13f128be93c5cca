"""Notes of incidents, maintenance windows and settings that operators store; more scopes of keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OLD_SCOPES = ("read", "write")
NEW_SCOPES = ("operate", "admin")


def upgrade() -> None:
    change_scopes((*OLD_SCOPES, *NEW_SCOPES))
    op.create_table(
        "incident_notes",
        sa.Column("id", ID, nullable=False),
        sa.Column("incident_id", sa.BigInteger, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("assignee", sa.String(128)),
        sa.Column("text", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_incident_notes"),
        sa.CheckConstraint("kind IN ('acknowledge', 'assign', 'comment')", name=op.f("ck_incident_notes_kind")),
    )
    op.create_index("ix_incident_notes_incident_id", "incident_notes", ["incident_id", "id"])
    op.create_index("ix_incident_notes_monitor", "incident_notes", ["monitor", "id"])
    op.create_table(
        "maintenance_windows",
        sa.Column("id", ID, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("entity", sa.String(255)),
        sa.Column("start_time", TIME, nullable=False),
        sa.Column("end_time", TIME, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance_windows"),
    )
    op.create_index("ix_maintenance_windows_monitor", "maintenance_windows", ["monitor", "id"])
    op.create_table(
        "tunings",
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("monitor", name="pk_tunings"),
    )


def downgrade() -> None:
    for table in ("tunings", "maintenance_windows", "incident_notes"):
        op.drop_table(table)
    keys = sa.table("api_keys", sa.column("scope"))
    for scope, old_scope in {"operate": "read", "admin": "write"}.items():  # never more than before
        op.execute(sa.update(keys).where(keys.c.scope == scope).values(scope=old_scope))
    change_scopes(OLD_SCOPES)


def change_scopes(scopes: tuple[str, ...]) -> None:
    """Replace the scopes that a key may have; SQLite copies the table, without the old constraint."""
    listed = ", ".join(f"'{scope}'" for scope in scopes)
    op.execute("DROP TABLE IF EXISTS _alembic_tmp_api_keys")  # the copy of a migration that was killed
    with op.batch_alter_table("api_keys") as batch:
        if op.get_bind().dialect.name != "sqlite":
            batch.drop_constraint(op.f("ck_api_keys_scope"), type_="check")
        batch.create_check_constraint(op.f("ck_api_keys_scope"), f"scope IN ({listed})")
