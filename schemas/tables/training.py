"""Tables of models, of the requests for trainings, and of drift."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
)

from schemas.column_types import BigId, Blob, Json, UtcDateTime, index_of_some
from schemas.tables.naming import metadata

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("promoted_at", UtcDateTime),
    Column("retired_at", UtcDateTime),
    Column("sha256", String(64), nullable=False),
    Column("artifact", Blob, nullable=False),
    Column("manifest", Json, nullable=False),
    Column("card", Json, nullable=False),
    Column("card_markdown", Text),
    Column("comparison", Json),  # with the champion of its time
    Column("pruned_at", UtcDateTime),  # when its artifact was deleted; the row stays for the rows that name it
    CheckConstraint("state IN ('champion', 'challenger', 'retired')", name="state"),
    Index("ix_models_monitor_state", "monitor", "state"),
)

# The rest of an artifact that is larger than one statement of the database can carry.
artifact_parts = Table(
    "artifact_parts",
    metadata,
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("bytes", Blob, nullable=False),
)


index_of_some("uq_models_champion", models.c.state == "champion", models.c.monitor, unique=True)

# A row with nothing but a monitor's name requests a training. Triggers refuse the names of monitors that the store does
# not have, and more than `schemas.request_guard.MAX_REQUESTS_PER_HOUR`.
retrain_requests = Table(
    "retrain_requests",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("reason", String(255), nullable=False, server_default="sql"),
    Column("requested_at", UtcDateTime, nullable=False, server_default=func.current_timestamp()),
    Column("state", String(16), nullable=False, server_default="pending"),
    Column("token", String(36)),
    Column("lease_until", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),  # trainings whose source was away
    Column("not_before", UtcDateTime),  # the next attempt after such a failure
    Column("finished_at", UtcDateTime),
    Column("model_id", Integer),
    Column("served_by", BigInteger),  # the request whose training served this one too
    Column("message", Text),
    CheckConstraint("state IN ('pending', 'running', 'done', 'failed')", name="state"),
    Index("ix_retrain_requests_state", "state", "monitor", "id"),
    Index("ix_retrain_requests_monitor_requested_at", "monitor", "requested_at"),
    Index("ix_retrain_requests_served_by", "served_by"),
)

drifts = Table(
    "drifts",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),
    Column("from_batch", BigInteger, nullable=False),
    Column("upto_batch", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("assessed_at", UtcDateTime, nullable=False),
    Column("ks_statistic", Double, nullable=False),
    Column("ks_p_value", Double, nullable=False),
    Column("max_psi", Double),
    Column("top_feature", String(255)),
    Column("is_drift", Boolean, nullable=False),
    UniqueConstraint("monitor", "model_id", "from_batch", "upto_batch"),
)

drift_features = Table(
    "drift_features",
    metadata,
    Column("drift_id", BigInteger, ForeignKey("drifts.id", ondelete="CASCADE"), primary_key=True),
    Column("feature", String(255), primary_key=True),
    Column("psi", Double, nullable=False),
)
