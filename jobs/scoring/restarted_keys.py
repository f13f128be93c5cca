"""Keys that start again: a table that was emptied, created again or restored from a backup.

Its new records have keys that were scored before, so they are past no watermark: only recounts would find them.
"""

from datetime import datetime

from jobs.reading.source import Source, keys_of
from jobs.store import NewEvent, Store
from jobs.wording import utc
from schemas.keys import Key, KeyRange, key_label


def watch_for_restart(source: Source, store: Store, at: datetime) -> None:
    """Open an event if the keys of the table start again, and close it once they are past the scored ones."""
    last = store.ledger.last_range(source.name)
    if last is None:
        return
    finding = _finding(source, store, last)
    if finding is None or source.next_range(last.upto, 1, None) is not None:  # the second, if it came meanwhile
        store.events.close("keys_restarted", source.name, at)
        return
    store.events.open(
        NewEvent("keys_restarted", _message(source.name, last, finding), source.name), at, source.monitor.channels
    )


def _finding(source: Source, store: Store, last: KeyRange) -> str | None:
    """Return what shows that the keys start again; None if they do not.

    The newest record may have been deleted, so a smaller largest key alone shows nothing.
    """
    if source.next_range(last.upto, 1, None) is not None:
        return None
    if source.next_range(last.after, 1, None) is None:
        return "the table holds no record of the last batch any longer"
    if source.monitor.time is None or source.monitor.resample is not None:
        return None
    if source.largest_key() == last.upto:  # as it usually is, and then the record itself need not be read
        return None
    key, time = _newest(source)
    scored_until = store.ledger.scored_until(source.name)
    if key is None or key == last.upto or time is None or scored_until is None or time <= scored_until:
        return None
    return f"its record with the largest key, {key_label(key)}, is of {utc(time)} and so later than every scored one"


def _newest(source: Source) -> tuple[Key | None, datetime | None]:
    """Return the largest key, and the time of its record."""
    frame = source.read_newest(1, [])
    if frame.empty:
        return None, None
    time = frame[str(source.monitor.time)].iloc[0]
    return keys_of(frame, source.monitor.key)[0], None if time != time else time.to_pydatetime()  # noqa: PLR0124 - NaT


def _message(name: str, last: KeyRange, finding: str) -> str:
    return (
        f"The keys of monitor {name!r} start again: records are scored up to {key_label(last.upto)}, but {finding}. "
        "Was the table emptied, created again or restored? Records with keys that were scored before count as late or "
        "too late. To score all of them as new, watch the table under another name, and train that."
    )
