"""The store's tables. Alembic reads this metadata, and only `jobs.store` queries the tables."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
    func,
)

from schemas.column_types import BigId, Blob, Json, UtcDateTime, index_of_some

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


REVISION = "0009"  # of this schema; the store checks it without loading Alembic
VERSION_TABLE = "plumbline_version"  # not Alembic's own name: the database may use Alembic itself

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

anomalies = Table(
    "anomalies",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("record_key", String(512), nullable=False),
    Column("record_key_int", BigInteger),  # the key as a number if it is one integer: joins use its index
    Column("record_time", UtcDateTime),
    Column("entity", String(255)),
    Column("anomaly_score", Double, nullable=False),
    Column("p_value", Double, nullable=False),
    Column("severity", Double, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("top_feature", String(255)),
    Column("attribution", Json, nullable=False),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),
    Column("batch_id", BigInteger, ForeignKey("batches.id"), nullable=False),
    Column("flagged_at", UtcDateTime, nullable=False),
    Column("label", String(16), nullable=False, server_default="open"),
    Column("labelled_at", UtcDateTime),
    Column("superseded_at", UtcDateTime),  # when a later scoring of the record no longer flagged it
    Column("incident_id", BigInteger),
    Column("is_muted", Boolean, nullable=False, server_default=false()),  # in a maintenance window
    Column("held_back", String(16)),  # the rule that leaves it out of alerts
    CheckConstraint("label IN ('open', 'confirmed', 'false_positive', 'known')", name="label"),
    UniqueConstraint("monitor", "record_key", "model_id"),
    Index("ix_anomalies_batch_id", "batch_id"),
    Index("ix_anomalies_monitor_record_time", "monitor", "record_time", "id"),
    Index("ix_anomalies_entity_record_time", "monitor", "entity", "record_time", "id"),
    Index("ix_anomalies_flagged_at", "flagged_at"),
    Index("ix_anomalies_incident_id", "incident_id"),
)

index_of_some("ix_anomalies_labelled", anomalies.c.label != "open", anomalies.c.monitor, anomalies.c.label)
_was_labelled = anomalies.c.labelled_at.is_not(None)
index_of_some("ix_anomalies_labelled_at", _was_labelled, anomalies.c.monitor, anomalies.c.labelled_at)

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
    Index("ix_scores_monitor_record_time", "monitor", "record_time"),
    Index("ix_scores_monitor_record_key", "monitor", "record_key"),
)

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

# Flagged records of one entity that are close in time.
incidents = Table(
    "incidents",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64), nullable=False),
    Column("entity", String(255)),
    Column("state", String(16), nullable=False),
    Column("start_time", UtcDateTime, nullable=False),
    Column("end_time", UtcDateTime, nullable=False),
    Column("peak_time", UtcDateTime, nullable=False),
    Column("peak_score", Double, nullable=False),
    Column("peak_severity", Double, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("top_feature", String(255)),
    Column("causes", Json, nullable=False),
    Column("is_muted", Boolean, nullable=False, server_default=false()),
    Column("alert_records", BigInteger, nullable=False, server_default="1"),  # neither muted nor left out by a rule
    Column("held_back", String(16)),  # why no alert is sent
    Column("merged_into", BigInteger),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("not_announced", String(8)),  # because it had ended too long ago: pending, then summed up in a message
    CheckConstraint("state IN ('open', 'ended', 'merged', 'withdrawn')", name="state"),
    Index("ix_incidents_monitor_state", "monitor", "state", "id"),
    Index("ix_incidents_monitor_end_time", "monitor", "end_time"),
    Index("ix_incidents_merged_into", "merged_into"),
)

# Gaps, late records, missed runs, drift, refused models and other events.
events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64)),
    Column("entity", String(255)),
    Column("kind", String(24), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("since", UtcDateTime),
    Column("until", UtcDateTime),
    Column("message", Text, nullable=False),
    Column("counts", Json),
    Index("ix_events_monitor_kind", "monitor", "kind", "id"),
    Index("ix_events_monitor_at", "monitor", "at"),
)

_is_ongoing = and_(events.c.since.is_not(None), events.c.until.is_(None))
index_of_some("ix_events_ongoing", _is_ongoing, events.c.monitor, events.c.kind)

# Number of deleted events, so that the counters of metrics never decrease; the monitor is '' for the service itself.
pruned_events = Table(
    "pruned_events",
    metadata,
    Column("monitor", String(64), primary_key=True),
    Column("kind", String(24), primary_key=True),
    Column("events", BigInteger, nullable=False),
)

# The outbox: alerts, written in the transaction of the incident or event that they report.
alerts = Table(
    "alerts",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("monitor", String(64)),
    Column("incident_id", BigInteger),
    Column("event_id", BigInteger),
    Column("reason", String(16), nullable=False),
    Column("channel", String(64), nullable=False),
    Column("state", String(16), nullable=False, server_default="pending"),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_try_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("token", String(36)),
    Column("lease_until", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("error", Text),
    Column("number", Integer, nullable=False, server_default="0"),  # of earlier alerts for the same reason
    Column("not_before", UtcDateTime),  # the end of quiet hours
    Column("peak_severity", Double),
    Column("peak_score", Double),
    Column("causes", Json),  # the main causes that the alert names
    CheckConstraint(
        "reason IN ('opened', 'escalated', 'worse', 'new_cause', 'ended', 'reminder', 'event')", name="reason"
    ),
    CheckConstraint("state IN ('pending', 'sending', 'sent', 'failed')", name="state"),
    UniqueConstraint("incident_id", "reason", "number", "channel"),
    UniqueConstraint("event_id", "channel"),
    Index("ix_alerts_state", "state", "channel", "next_try_at"),
    Index("ix_alerts_channel_sent_at", "channel", "sent_at"),
)

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
    Column("finished_at", UtcDateTime),
    Column("model_id", Integer),
    Column("served_by", BigInteger),  # the request whose training served this one too
    Column("message", Text),
    CheckConstraint("state IN ('pending', 'running', 'done', 'failed')", name="state"),
    Index("ix_retrain_requests_state", "state", "monitor", "id"),
    Index("ix_retrain_requests_monitor_requested_at", "monitor", "requested_at"),
    Index("ix_retrain_requests_served_by", "served_by"),
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

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("scope", String(8), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    CheckConstraint("scope IN ('read', 'write')", name="scope"),
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
