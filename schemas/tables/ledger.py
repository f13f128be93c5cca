"""Tables of batches and of what belongs to them: counts, scores, profiles, thresholds, and unreadable records."""

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
    false,
)

from schemas.column_types import BigId, Json, UtcDateTime
from schemas.tables.naming import metadata

# The ledger. A batch is a key range; after_key is '' at the start of a table.
batches = Table(
    "batches",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("after_key", String(512), nullable=False),
    Column("upto_key", String(512), nullable=False),
    Column("state", String(16), nullable=False),
    Column("planned_at", UtcDateTime, nullable=False),
    Column("token", String(36)),
    Column("lease_until", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("model_id", Integer, ForeignKey("models.id")),
    Column("finished_at", UtcDateTime),
    Column("records", BigInteger),
    Column("anomalies", BigInteger),
    Column("error", Text),
    Column("counted", BigInteger),  # records in the range when it was last counted
    Column("checksum", String(255)),  # of their keys and times of change; null if unknown
    Column("recounted_at", UtcDateTime),
    Column("recount_at", UtcDateTime),  # when the next recount is due; null until the batch is done
    Column("rescorings", Integer, nullable=False, server_default="0"),
    Column("late_records", BigInteger, nullable=False, server_default="0"),
    Column("entities", Json),  # number of records of each entity, for series
    Column("has_changed", Boolean, nullable=False, server_default=false()),  # too late to be rescored
    Column("has_turn", Boolean, nullable=False, server_default=false()),  # its worker decides what to flag
    CheckConstraint("state IN ('pending', 'running', 'done')", name="state"),
    UniqueConstraint("monitor", "after_key"),
    Index("ix_batches_monitor_state", "monitor", "state", "id"),
    Index("ix_batches_recount_at", "monitor", "recount_at"),
    # All that status and metrics sum up, so that neither reads the rows, which may hold long lists of entities.
    Index("ix_batches_totals", "monitor", "state", "model_id", "records", "anomalies", "late_records", "rescorings"),
)

# Records and anomalies of a batch by hour of record time: the denominator of every rate.
batch_hours = Table(
    "batch_hours",
    metadata,
    Column("batch_id", BigInteger, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("anomalies", BigInteger, nullable=False),
    Index("ix_batch_hours_monitor_hour", "monitor", "hour"),
)

# Records of each entity in a batch, kept only if alerts need flagged records in a row; the entity is '' for none.
batch_entities = Table(
    "batch_entities",
    metadata,
    Column("batch_id", BigInteger, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("entity", String(255), primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("records", BigInteger, nullable=False),
    Index("ix_batch_entities_entity", "monitor", "entity", "batch_id"),
)

# Every score, kept only if a monitor has store_scores = "all".
scores = Table(
    "scores",
    metadata,
    Column("batch_id", BigInteger, ForeignKey("batches.id"), primary_key=True),
    Column("record_key", String(512), primary_key=True),
    Column("record_key_int", BigInteger),
    Column("monitor", String(64), nullable=False),
    Column("record_time", UtcDateTime),
    Column("entity", String(255)),
    Column("anomaly_score", Double, nullable=False),
    Column("p_value", Double, nullable=False),
    Column("is_anomaly", Boolean, nullable=False),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),
    Column("reconstruction_error", Double),  # as in `anomalies`
    Column("elbo", Double),
    Index("ix_scores_monitor_record_time", "monitor", "record_time"),
    Index("ix_scores_monitor_record_key", "monitor", "record_key"),
)

# Records that could not be read when their batch was scored; checked again in every run.
unreadable_records = Table(
    "unreadable_records",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("batch_id", BigInteger, ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
    Column("record_key", String(512), nullable=False),  # as `schemas.keys.dump_key` writes it
    Column("column_name", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("found_at", UtcDateTime, nullable=False),
    Column("checked_at", UtcDateTime, nullable=False),
    Index("ix_unreadable_records_batch_id", "batch_id"),
    Index("ix_unreadable_records_monitor_checked_at", "monitor", "checked_at"),
)

# The distribution of the records of a batch: counts in the bins of the model's profile.
batch_profiles = Table(
    "batch_profiles",
    metadata,
    Column("batch_id", BigInteger, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("counts", Json, nullable=False),
    Index("ix_batch_profiles_monitor", "monitor", "batch_id"),
)

# Tracked threshold of each entity in a batch: its state before, and after the first scoring by the model.
trackers = Table(
    "trackers",
    metadata,
    Column("model_id", Integer, ForeignKey("models.id"), primary_key=True),
    Column("entity", String(255), primary_key=True),
    Column("batch_id", BigInteger, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("state_before", Json, nullable=False),
    Column("state_after", Json, nullable=False),
    Index("ix_trackers_batch_id", "batch_id"),
)
