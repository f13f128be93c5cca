"""Whether the worker of a batch decides what to flag; one batch of a monitor does at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("has_turn", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("batches", "has_turn")
