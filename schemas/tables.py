"""The store's tables. Alembic reads this metadata; `jobs.store` is the only module that queries it."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware on the way in and out, stored as UTC on databases that keep no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time in UTC; naive times are refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = f"{value!r} has no time zone; the store keeps aware times only"
            raise ValueError(msg)
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """The time with its zone."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


Json = JSON().with_variant(postgresql.JSONB(), "postgresql")
Blob = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
BigId = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows only in INTEGER columns

REVISION = "0001"  # of the schema below; the store compares it without loading Alembic
VERSION_TABLE = "plumbline_version"  # not Alembic's own name: the database may use Alembic itself
LABELS = ("open", "confirmed", "false_positive", "known")

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
    CheckConstraint("state IN ('champion', 'challenger', 'retired')", name="state"),
    Index("ix_models_monitor_state", "monitor", "state"),
)


def _has_partial_indexes(*_: object, dialect: Dialect, **__: object) -> bool:
    return dialect.name in {"sqlite", "postgresql"}


_is_champion = models.c.state == "champion"
Index(
    "uq_models_champion",
    models.c.monitor,
    unique=True,
    sqlite_where=_is_champion,
    postgresql_where=_is_champion,
).ddl_if(callable_=_has_partial_indexes)

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
    CheckConstraint("state IN ('pending', 'running', 'done')", name="state"),
    UniqueConstraint("monitor", "after_key"),
    Index("ix_batches_monitor_state", "monitor", "state", "id"),
)

# What a batch held, by hour of record time: the denominator of every rate.
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
    Column("record_key_int", BigInteger),  # the key again where it is one integer: joins use its index
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
    CheckConstraint("label IN ('open', 'confirmed', 'false_positive', 'known')", name="label"),
    UniqueConstraint("monitor", "record_key", "model_id"),
    Index("ix_anomalies_batch_id", "batch_id"),
    Index("ix_anomalies_monitor_record_time", "monitor", "record_time", "id"),
    Index("ix_anomalies_entity_record_time", "monitor", "entity", "record_time", "id"),
    Index("ix_anomalies_flagged_at", "flagged_at"),
)

# Every score, kept only where a monitor has store_scores = "all".
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
    CheckConstraint("kind IN ('train', 'score')", name="kind"),
    CheckConstraint("outcome IN ('done', 'failed', 'interrupted')", name="outcome"),
    Index("ix_runs_monitor_started_at", "monitor", "started_at"),
)
