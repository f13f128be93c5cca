"""The store's tables. Alembic reads this metadata, and only `jobs.store` queries the tables."""

from schemas.tables.alerting import alerts, anomalies, events, incident_notes, incidents, pruned_events
from schemas.tables.ledger import (
    batch_entities,
    batch_hours,
    batch_profiles,
    batches,
    scores,
    trackers,
    unreadable_records,
)
from schemas.tables.naming import metadata
from schemas.tables.service import (
    api_keys,
    audit,
    entity_rhythms,
    maintenance_windows,
    monitors,
    runs,
    tunings,
    workers,
)
from schemas.tables.training import artifact_parts, drift_features, drifts, models, retrain_requests

__all__ = [
    "REVISION",
    "VERSION_TABLE",
    "alerts",
    "anomalies",
    "api_keys",
    "artifact_parts",
    "audit",
    "batch_entities",
    "batch_hours",
    "batch_profiles",
    "batches",
    "drift_features",
    "drifts",
    "entity_rhythms",
    "events",
    "incident_notes",
    "incidents",
    "maintenance_windows",
    "metadata",
    "models",
    "monitors",
    "pruned_events",
    "retrain_requests",
    "runs",
    "scores",
    "trackers",
    "tunings",
    "unreadable_records",
    "workers",
]

REVISION = "0019"  # of this schema; the store checks it without loading Alembic
VERSION_TABLE = "plumbline_version"  # not Alembic's own name: the database may use Alembic itself
