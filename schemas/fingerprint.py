"""Fingerprint of a key range, to detect changed records without rereading them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fingerprint:
    """The number of records in a key range, and their checksum."""

    records: int
    checksum: str | None = None
    """Sum over keys and times of change, as far as the database can compute it; None if unknown."""

    def differs_from(self, earlier: "Fingerprint") -> bool:
        """Return whether records came, vanished or changed since the earlier fingerprint."""
        is_comparable = None not in {self.checksum, earlier.checksum}
        return self.records != earlier.records or (is_comparable and self.checksum != earlier.checksum)
