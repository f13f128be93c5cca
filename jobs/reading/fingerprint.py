"""What tells that records changed, without reading them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fingerprint:
    """What tells whether the records of a key range are still those that were scored."""

    records: int
    checksum: str | None = None
    """Of their keys and times of change, as far as the database can sum them up; None where it is not known."""

    def differs_from(self, earlier: "Fingerprint") -> bool:
        """Whether records came, went or changed since then."""
        is_known = None not in {self.checksum, earlier.checksum}
        return self.records != earlier.records or (is_known and self.checksum != earlier.checksum)
