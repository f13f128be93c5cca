"""Artifacts in parts, for databases whose statements are limited in size."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "artifact_parts",
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("bytes", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("model_id", "number", name="pk_artifact_parts"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_artifact_parts_model_id_models", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("artifact_parts")
