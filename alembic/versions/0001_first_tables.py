"""First tables: models, the ledger, anomalies, scores, runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

from schemas.views import drop_own_view, joined_name

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    create_models()
    create_ledger()
    create_anomalies()
    create_scores()
    create_runs()


def downgrade() -> None:
    connection = op.get_bind()
    models = sa.table("models", sa.column("monitor"))
    for monitor in connection.scalars(sa.select(models.c.monitor).distinct()).all():
        drop_own_view(connection, joined_name(monitor))
    for name in ("runs", "scores", "anomalies", "batch_hours", "batches", "models"):
        op.drop_table(name)


def create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("promoted_at", TIME),
        sa.Column("retired_at", TIME),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("artifact", BLOB, nullable=False),
        sa.Column("manifest", JSON, nullable=False),
        sa.Column("card", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.CheckConstraint("state IN ('champion', 'challenger', 'retired')", name=op.f("ck_models_state")),
    )
    op.create_index("ix_models_monitor_state", "models", ["monitor", "state"])
    if op.get_bind().dialect.name in {"sqlite", "postgresql"}:
        champion = sa.text("state = 'champion'")
        op.create_index(
            "uq_models_champion", "models", ["monitor"], unique=True, sqlite_where=champion, postgresql_where=champion
        )


def create_ledger() -> None:
    op.create_table(
        "batches",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("after_key", sa.String(512), nullable=False),
        sa.Column("upto_key", sa.String(512), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("planned_at", TIME, nullable=False),
        sa.Column("token", sa.String(36)),
        sa.Column("lease_until", TIME),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("model_id", sa.Integer),
        sa.Column("finished_at", TIME),
        sa.Column("records", sa.BigInteger),
        sa.Column("anomalies", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_batches_model_id_models"),
        sa.CheckConstraint("state IN ('pending', 'running', 'done')", name=op.f("ck_batches_state")),
        sa.UniqueConstraint("monitor", "after_key", name="uq_batches_monitor_after_key"),
    )
    op.create_index("ix_batches_monitor_state", "batches", ["monitor", "state", "id"])
    op.create_table(
        "batch_hours",
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("hour", TIME, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("anomalies", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "hour", name="pk_batch_hours"),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name="fk_batch_hours_batch_id_batches", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_batch_hours_monitor_hour", "batch_hours", ["monitor", "hour"])


def create_anomalies() -> None:
    op.create_table(
        "anomalies",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("record_key", sa.String(512), nullable=False),
        sa.Column("record_key_int", sa.BigInteger),
        sa.Column("record_time", TIME),
        sa.Column("entity", sa.String(255)),
        sa.Column("anomaly_score", sa.Double, nullable=False),
        sa.Column("p_value", sa.Double, nullable=False),
        sa.Column("severity", sa.Double, nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("top_feature", sa.String(255)),
        sa.Column("attribution", JSON, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("flagged_at", TIME, nullable=False),
        sa.Column("label", sa.String(16), nullable=False, server_default="open"),
        sa.Column("labelled_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_anomalies"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_anomalies_model_id_models"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_anomalies_batch_id_batches"),
        sa.CheckConstraint(
            "label IN ('open', 'confirmed', 'false_positive', 'known')", name=op.f("ck_anomalies_label")
        ),
        sa.UniqueConstraint("monitor", "record_key", "model_id", name="uq_anomalies_monitor_record_key_model_id"),
    )
    op.create_index("ix_anomalies_batch_id", "anomalies", ["batch_id"])
    op.create_index("ix_anomalies_monitor_record_time", "anomalies", ["monitor", "record_time", "id"])
    op.create_index("ix_anomalies_entity_record_time", "anomalies", ["monitor", "entity", "record_time", "id"])
    op.create_index("ix_anomalies_flagged_at", "anomalies", ["flagged_at"])


def create_scores() -> None:
    op.create_table(
        "scores",
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("record_key", sa.String(512), nullable=False),
        sa.Column("record_key_int", sa.BigInteger),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("record_time", TIME),
        sa.Column("entity", sa.String(255)),
        sa.Column("anomaly_score", sa.Double, nullable=False),
        sa.Column("p_value", sa.Double, nullable=False),
        sa.Column("is_anomaly", sa.Boolean, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "record_key", name="pk_scores"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_scores_batch_id_batches"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_scores_model_id_models"),
    )
    op.create_index("ix_scores_monitor_record_time", "scores", ["monitor", "record_time"])
    op.create_index("ix_scores_monitor_record_key", "scores", ["monitor", "record_key"])


def create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.Column("outcome", sa.String(16)),
        sa.Column("message", sa.Text),
        sa.Column("counts", JSON),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.CheckConstraint("kind IN ('train', 'score')", name=op.f("ck_runs_kind")),
        sa.CheckConstraint("outcome IN ('done', 'failed', 'interrupted')", name=op.f("ck_runs_outcome")),
    )
    op.create_index("ix_runs_monitor_started_at", "runs", ["monitor", "started_at"])
