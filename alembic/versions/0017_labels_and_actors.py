"""Indexes of labelled rows in databases without partial indexes, and of the audit by actor."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

LABELLED = {
    "ix_anomalies_labelled": ["monitor", "label"],
    "ix_anomalies_labelled_at": ["monitor", "labelled_at"],
}


def upgrade() -> None:
    op.create_index("ix_audit_actor", "audit", ["actor", "id"])
    if not has_partial_indexes():
        for name, columns in LABELLED.items():
            op.create_index(name, "anomalies", columns)


def downgrade() -> None:
    if not has_partial_indexes():
        for name in LABELLED:
            op.drop_index(name, "anomalies")
    op.drop_index("ix_audit_actor", "audit")


def has_partial_indexes() -> bool:
    """Return whether the database has indexes of some of the rows, which revision 0007 created."""
    return op.get_bind().dialect.name in {"sqlite", "postgresql"}
