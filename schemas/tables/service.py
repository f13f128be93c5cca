"""Tables of monitors, their entities and runs, and of the processes and keys of the service."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from schemas.column_types import BigId, Json, UtcDateTime
from schemas.tables.naming import metadata

runs = Table(
    "runs",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("outcome", String(16)),
    Column("message", Text),
    Column("counts", Json),
    Column("scheduled_for", UtcDateTime),  # by the schedule; started_at may be later
    Column("worker", String(64)),
    CheckConstraint("kind IN ('train', 'score')", name="kind"),
    CheckConstraint("outcome IN ('done', 'failed', 'interrupted')", name="outcome"),
    Index("ix_runs_monitor_started_at", "monitor", "started_at"),
    Index("ix_runs_monitor_kind", "monitor", "kind", "outcome", "finished_at"),
    Index("ix_runs_monitor_kind_started_at", "monitor", "kind", "started_at"),
)

# State of a whole monitor; its row is locked while anything of the monitor changes.
monitors = Table(
    "monitors",
    metadata,
    Column("monitor", String(64), primary_key=True),
    Column("scored_until", UtcDateTime),  # newest time of a scored record
    Column("too_late_records", BigInteger, nullable=False, server_default="0"),
    Column("key_columns", Json),  # the columns that its batches are ranges of
    Column("records_counted", BigInteger, nullable=False, server_default="0"),  # pauses are measured by it
    Column("source_pauses", Json),  # of all entities
)

# The entities of a monitor: their last records, and the pauses between them.
entity_rhythms = Table(
    "entity_rhythms",
    metadata,
    Column("monitor", String(64), primary_key=True),
    Column("entity", String(255), primary_key=True),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("first_position", BigInteger, nullable=False),  # of a record among all of the monitor
    Column("last_position", BigInteger, nullable=False),
    Column("pauses", BigInteger, nullable=False),
    Column("usual_records", Double, nullable=False),
    Column("usual_seconds", Double, nullable=False),
    Column("longest", Json, nullable=False),
    Column("retired_at", UtcDateTime),  # from then on its silence is no event
    Index("ix_entity_rhythms_monitor_last_at", "monitor", "last_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("scope", String(8), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("monitors", Json),  # the only ones that it may see; null for all
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),  # to the minute
    CheckConstraint("scope IN ('read', 'write', 'operate', 'admin')", name="scope"),
    UniqueConstraint("sha256"),
    UniqueConstraint("name"),
)

# Processes that serve, each with a heartbeat every few seconds.
workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(32), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("stopped_at", UtcDateTime),
    Column("next_runs", Json, nullable=False),
)

# Settings of a monitor that people stored, in place of those of the configuration.
tunings = Table(
    "tunings",
    metadata,
    Column("monitor", String(64), primary_key=True),
    Column("settings", Json, nullable=False),  # only those that differ, as in the section of the monitor
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", String(128), nullable=False),
)

# Maintenance windows that people stored, next to those of the configuration; an end at the start means cancelled.
maintenance_windows = Table(
    "maintenance_windows",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("entity", String(255)),  # null for all entities
    Column("start_time", UtcDateTime, nullable=False),
    Column("end_time", UtcDateTime, nullable=False),
    Column("reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(128), nullable=False),
    Index("ix_maintenance_windows_monitor", "monitor", "id"),
)

# What people and programs did: labels, notes, promotions, retrain requests, keys, settings, renamed and deleted
# monitors, retired entities. Rows are never deleted.
audit = Table(
    "audit",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(128), nullable=False),  # a key of the API, or a user of the command line
    Column("action", String(24), nullable=False),
    Column("monitor", String(64)),
    Column("subject", String(128), nullable=False),  # what it was done to, such as "anomaly 7"
    Column("detail", Json),
    Index("ix_audit_monitor", "monitor", "id"),
    Index("ix_audit_actor", "actor", "id"),
)
