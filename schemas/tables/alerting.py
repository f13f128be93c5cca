"""Tables of flagged rows, incidents, events and alerts."""

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
    and_,
    false,
)

from schemas.column_types import BigId, Json, UtcDateTime, index_instead, index_of_some
from schemas.tables.naming import metadata

# What a training reads of the newest flagged rows and of their incidents stands in the indexes that order them: rows of
# a monitor lie in as many pages as there are rows if others flag records between them.
_OF_FEEDBACK = ("incident_id", "record_key", "severity", "label", "model_id", "threshold", "superseded_at")

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
    Column("suppressed_by", BigInteger),  # the row labelled false_positive that it resembles: it opens no incident
    Column("suppressed_distance", Double),  # between the causes of the two rows
    Column("raised_by", BigInteger),  # the confirmed row that it resembles
    Column("raised_distance", Double),  # between the causes of the two rows
    Column("entity_position", Integer),  # among the records of its entity in the batch; null if not counted
    Column("in_row", Integer),  # flagged records among the last consecutive records of its entity; null if not counted
    Column("reconstruction_error", Double),  # null if the model has no network, or an earlier version wrote the row
    Column("elbo", Double),  # negative, in nats: higher is more anomalous; null likewise
    Column("began_at", UtcDateTime),  # when its incident began, by the scores; null if it is grouped by time alone
    CheckConstraint("label IN ('open', 'confirmed', 'false_positive', 'known')", name="label"),
    UniqueConstraint("monitor", "record_key", "model_id"),
    Index("ix_anomalies_batch_id", "batch_id"),
    Index("ix_anomalies_monitor_record_time", "monitor", "record_time", "id"),
    Index("ix_anomalies_entity_record_time", "monitor", "entity", "record_time", "id"),
    Index("ix_anomalies_monitor", "monitor", "id", *_OF_FEEDBACK),
    Index("ix_anomalies_record_time", "record_time", "id"),
    Index("ix_anomalies_entity", "entity", "id"),
    Index("ix_anomalies_flagged_at", "flagged_at"),
    Index("ix_anomalies_incident_id", "incident_id"),
)

_is_labelled = anomalies.c.label != "open"
_of_labels = ("record_key", "incident_id", "model_id", "superseded_at", "record_time", "flagged_at", "labelled_at")
index_of_some(
    "ix_anomalies_labelled", _is_labelled, anomalies.c.monitor, anomalies.c.label, or_all=True, include=_of_labels
)
_was_labelled = anomalies.c.labelled_at.is_not(None)
index_of_some("ix_anomalies_labelled_at", _was_labelled, anomalies.c.monitor, anomalies.c.labelled_at, or_all=True)

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
    Column("in_row", Integer, nullable=False, server_default="1"),  # the largest one of its records
    Column("held_back", String(16)),  # why no alert is sent
    Column("suppressed_by", BigInteger),  # the row labelled false_positive that it resembles
    Column("raised_by", BigInteger),  # the confirmed row that it resembles
    Column("merged_into", BigInteger),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("not_announced", String(8)),  # because it had ended too long ago: pending, then summed up in a message
    Column("began_at", UtcDateTime),  # how far its records reach back, by the scores; null if by time alone
    CheckConstraint("state IN ('open', 'ended', 'merged', 'withdrawn')", name="state"),
    Index("ix_incidents_monitor_state", "monitor", "state", "id"),
    Index("ix_incidents_monitor_end_time", "monitor", "end_time"),
    Index("ix_incidents_monitor", "monitor", "id", "state", "entity", "start_time", "end_time", "suppressed_by"),
    Index("ix_incidents_start_time", "start_time", "id"),
    Index("ix_incidents_end_time", "end_time", "id"),
    Index("ix_incidents_entity", "entity", "id"),
    Index("ix_incidents_merged_into", "merged_into"),
)

# What people did with an incident: acknowledged, assigned and commented it; rows are only added.
incident_notes = Table(
    "incident_notes",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("incident_id", BigInteger, nullable=False),
    Column("monitor", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("assignee", String(128)),  # of an assignment; null if it takes the incident from everybody
    Column("text", Text),
    CheckConstraint("kind IN ('acknowledge', 'assign', 'comment')", name="kind"),
    Index("ix_incident_notes_incident_id", "incident_id", "id"),
    Index("ix_incident_notes_monitor", "monitor", "id"),
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
    Index("ix_events_monitor", "monitor", "id"),
    Index("ix_events_at", "at", "id"),
)

_is_ongoing = and_(events.c.since.is_not(None), events.c.until.is_(None))
index_of_some("ix_events_ongoing", _is_ongoing, events.c.monitor, events.c.kind)
index_instead("ix_events_until", events.c.until, events.c.since, events.c.monitor, events.c.kind)

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
