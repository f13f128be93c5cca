"""Maintenance windows that people stored, next to those of the configuration."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import Engine, select, update

from jobs.databases import reading, writing
from jobs.dialects import END_OF_VALID_TIMES, FIRST_VALID_TIME
from jobs.store.audit import Act, record_act
from jobs.store.numbering import insert_numbered
from jobs.store.paging import columns_of
from schemas.errors import UsageError
from schemas.tables import maintenance_windows

MAX_WINDOWS_READ = 1_000  # of a monitor, the newest
MAX_TEXT = 255  # characters of an entity or a reason


@dataclass(frozen=True)
class NewWindow:
    """A maintenance window before it has a row."""

    start_time: datetime
    end_time: datetime
    entity: str | None = None
    """The entity that it applies to; None for all."""
    reason: str | None = None

    @classmethod
    def lasting(cls, start: datetime, length: timedelta, entity: str | None = None, reason: str | None = None) -> Self:
        """Return the window that starts at a time and has a length.

        Raises:
            UsageError: If it leaves the years that databases have times in.
        """
        if not FIRST_VALID_TIME <= start < END_OF_VALID_TIMES - length:
            years = f"{FIRST_VALID_TIME.year} to {END_OF_VALID_TIMES.year - 1}"
            msg = f"The window is not in the years {years}. Choose another start or length."
            raise UsageError(msg)
        return cls(start, start + length, entity, reason)


@dataclass(frozen=True)
class StoredWindow:
    """A maintenance window that a person stored."""

    id: int
    monitor: str
    entity: str | None
    start_time: datetime
    end_time: datetime
    reason: str | None
    created_at: datetime
    created_by: str

    @property
    def is_cancelled(self) -> bool:
        """Whether it was ended before it began."""
        return self.end_time <= self.start_time

    def state(self, at: datetime) -> str:
        """Return its state at a time: cancelled, planned, open or over."""
        if self.is_cancelled:
            return "cancelled"
        if at < self.start_time:
            return "planned"
        return "open" if at < self.end_time else "over"


class MaintenanceWindows:
    """The stored maintenance windows of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def of(self, monitor: str) -> list[StoredWindow]:
        """Return the newest windows of a monitor, newest first."""
        c = maintenance_windows.c
        newest = select(*columns_of(maintenance_windows, StoredWindow)).where(c.monitor == monitor)
        with reading(self.engine) as connection:
            rows = connection.execute(newest.order_by(c.id.desc()).limit(MAX_WINDOWS_READ)).mappings()
            return [StoredWindow(**row) for row in rows]

    def get(self, window_id: int) -> StoredWindow:
        """Return one window.

        Raises:
            UsageError: If there is no such window.
        """
        columns = columns_of(maintenance_windows, StoredWindow)
        with reading(self.engine) as connection:
            statement = select(*columns).where(maintenance_windows.c.id == window_id)
            row = connection.execute(statement).mappings().first()
        if row is None:
            raise no_window(window_id)
        return StoredWindow(**row)

    def add(self, monitor: str, window: NewWindow, at: datetime, actor: str) -> int:
        """Store a window, and return its id.

        Raises:
            UsageError: If it does not end after it starts, or one of its texts is too long.
        """
        if window.end_time <= window.start_time:
            raise UsageError("A maintenance window must end after it starts. Choose a later end.")
        if any(len(text or "") > MAX_TEXT for text in (window.entity, window.reason)):
            msg = f"The entity or the reason has more than {MAX_TEXT} characters. Shorten it."
            raise UsageError(msg)
        row = {**vars(window), "monitor": monitor, "created_at": at, "created_by": actor}
        detail = {"from": window.start_time.isoformat(), "to": window.end_time.isoformat(), "entity": window.entity}
        with writing(self.engine) as connection:
            window_id = insert_numbered(connection, maintenance_windows, row)
            record_act(connection, Act(actor, "add maintenance", f"window {window_id}", monitor, detail), at)
        return window_id

    def end(self, window_id: int, at: datetime, actor: str) -> StoredWindow:
        """End a window now, or cancel it before it starts, and return it.

        Raises:
            UsageError: If there is no such window, or it is over.
        """
        window = self.get(window_id)
        if window.state(at) not in {"open", "planned"}:
            msg = f"Maintenance window {window_id} is {window.state(at)}. There is nothing to end."
            raise UsageError(msg)
        c = maintenance_windows.c
        end = max(at, window.start_time)
        with writing(self.engine) as connection:
            connection.execute(update(maintenance_windows).where(c.id == window_id).values(end_time=end))
            record_act(connection, Act(actor, "end maintenance", f"window {window_id}", window.monitor), at)
        return self.get(window_id)


def no_window(window_id: int) -> UsageError:
    """Return the error for a window that does not exist, or that a caller may not see."""
    return UsageError(f"There is no maintenance window {window_id}. List them with: plumbline maintenance list")
