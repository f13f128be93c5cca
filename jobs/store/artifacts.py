"""The artifact of a model in the store: in the row of the model, and beyond what a statement can carry in parts."""

from collections.abc import Iterable

from sqlalchemy import Connection, insert, select

from jobs.dialects import dialect_of
from schemas.tables import artifact_parts, models


def split_artifact(connection: Connection, blob: bytes) -> list[bytes]:
    """Return an artifact in parts that a statement of the database can carry; the first belongs in the model's row."""
    size = dialect_of(connection).max_value_bytes(connection)
    return [blob[start : start + size] for start in range(0, len(blob), size)] if size and blob else [blob]


def write_parts(connection: Connection, model_id: int, parts: Iterable[bytes]) -> None:
    """Write the parts of a new model's artifact after the first, in the open transaction."""
    for number, part in enumerate(parts, start=1):
        row = {"model_id": model_id, "number": number, "bytes": part}
        connection.execute(insert(artifact_parts).values(row))


def read_artifact(connection: Connection, model_id: int) -> bytes | None:
    """Return the artifact of a model, or None if there is no such model."""
    first = connection.scalar(select(models.c.artifact).where(models.c.id == model_id))
    if first is None:
        return None
    c = artifact_parts.c
    numbers = connection.scalars(select(c.number).where(c.model_id == model_id).order_by(c.number)).all()
    # One by one: rows are limited like statements.
    parts = (connection.scalar(select(c.bytes).where(c.model_id == model_id, c.number == n)) for n in numbers)
    return b"".join([bytes(first), *(bytes(part) for part in parts if part is not None)])
