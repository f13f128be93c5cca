"""Records that cannot be read, because a value does not fit its column."""

from dataclasses import dataclass

from schemas.keys import Key, key_label


@dataclass(frozen=True)
class UnreadableRecord:
    """A record that was left out, with the first value that cannot be read.

    Attributes:
        key: of the record.
        column: that holds the value.
        expected: the kind of value that the column should hold.
        value: the value as text, abridged.
        advice: what to do, other than to correct the record.
    """

    key: Key
    column: str
    expected: str
    value: str
    advice: str

    @property
    def reason(self) -> str:
        """Why it cannot be read, in a few words.

        >>> UnreadableRecord((7,), "flow", "a number", "''", "").reason
        "holds '', expected a number"
        """
        return f"holds {self.value}, expected {self.expected}"

    def sentence(self, monitor: str) -> str:
        """Return the error of a monitor that cannot leave the record out."""
        return (
            f"Column {self.column!r} of monitor {monitor!r} should hold {self.expected}, but the record with key "
            f"{key_label(self.key)} holds {self.value}. Correct the record, or {self.advice}."
        )


def listed(records: "list[UnreadableRecord] | tuple[UnreadableRecord, ...]", limit: int = 5) -> str:
    """Return the first unreadable records with their columns and reasons, for people.

    >>> listed([UnreadableRecord((key,), "flow", "a number", "''", "") for key in (7, 8)], 1)
    "7 (flow holds '', expected a number) and 1 more"
    """
    named = ", ".join(f"{key_label(item.key)} ({item.column} {item.reason})" for item in records[:limit])
    return named if len(records) <= limit else f"{named} and {len(records) - limit:,} more"
