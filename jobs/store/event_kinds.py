"""The kinds of events: what causes them, which channels are alerted by default, and how they end.

docs/events.md shows this table, and events are alerted by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

EventKind: TypeAlias = Literal[
    "gap",
    "silent",
    "silent_entities",
    "new_entity",
    "not_announced",
    "too_late",
    "keys_restarted",
    "late",
    "missed_run",
    "failing",
    "waiting",
    "config_refused",
    "usual_level",
    "drift",
    "retrain_refused",
    "training_failed",
    "promoted",
    "unreadable",
    "features_changed",
]

Recipients: TypeAlias = Literal["channels of the monitor", "all channels", "nobody"]


@dataclass(frozen=True)
class EventMeaning:
    """The meaning of a kind of event."""

    cause: str
    recipients: Recipients
    """The channels that are alerted, if they are configured."""
    end: str
    """How the event ends; an event of a moment has no end."""
    decision: str = ""
    """Why nobody is alerted."""


_MOMENT = "at once"

EVENT_KINDS: Mapping[EventKind, EventMeaning] = {
    "gap": EventMeaning(
        "The newest record of a monitor is older than `gap_after`: the whole source stopped sending.",
        "channels of the monitor",
        "when a newer record is scored",
    ),
    "silent": EventMeaning(
        "An entity sends nothing for longer than `silent_after`, while the others do.",
        "channels of the monitor",
        "when the entity sends again, is retired, or is no longer watched",
    ),
    "silent_entities": EventMeaning(
        "More than three entities fell silent at once: one message for all, in addition to an event `silent` for each.",
        "channels of the monitor",
        _MOMENT,
    ),
    "new_entity": EventMeaning(
        "An entity sends its first record, or for series: the model was not trained on the entity.",
        "nobody",
        _MOMENT,
        "a new entity is mostly planned; if another one fell silent, that alert names the new one",
    ),
    "not_announced": EventMeaning(
        "Incidents ended longer than `alert.newest` ago when they were found, so none was alerted by itself.",
        "channels of the monitor",
        _MOMENT,
    ),
    "too_late": EventMeaning(
        "Records came or changed later than `late_after`, so they are not scored.",
        "channels of the monitor",
        _MOMENT,
    ),
    "keys_restarted": EventMeaning(
        "The keys of a table start again below those that were scored: it was emptied, created again or restored.",
        "channels of the monitor",
        "when a record is past the scored keys",
    ),
    "late": EventMeaning(
        "Records came late or changed, and their batches are rescored.",
        "nobody",
        _MOMENT,
        "the incidents of the rescored records are alerted",
    ),
    "missed_run": EventMeaning(
        "A run started more than a minute after its due time.",
        "nobody",
        _MOMENT,
        "the run makes up for it; docs/alerts.yml alerts those who keep the service if that is frequent",
    ),
    "failing": EventMeaning(
        "Three runs of a monitor failed in a row.",
        "channels of the monitor",
        "when a run succeeds",
    ),
    "waiting": EventMeaning(
        "A run waits for a database longer than `service.waiting_after`: another transaction holds a lock, or the "
        "server does not respond.",
        "channels of the monitor",
        "when a run succeeds",
    ),
    "config_refused": EventMeaning(
        "`serve` refused a changed configuration, and the old one stays in force.",
        "all channels",
        _MOMENT,
    ),
    "usual_level": EventMeaning(
        "The scores of an entity stayed above a tracked threshold for `usual_after` records, and now count as usual.",
        "channels of the monitor",
        _MOMENT,
    ),
    "drift": EventMeaning(
        "The newest records differ from those that the model was trained on.",
        "channels of the monitor",
        "with a later window without drift, or with another champion",
    ),
    "retrain_refused": EventMeaning(
        "A trained model was not promoted, because it is degenerate or worse than the champion.",
        "nobody",
        _MOMENT,
        "the champion goes on scoring, and whoever requested the training sees the result in its request",
    ),
    "training_failed": EventMeaning(
        "A requested training failed. If its source was away, six attempts within six hours failed.",
        "channels of the monitor",
        _MOMENT,
    ),
    "promoted": EventMeaning(
        "A model became the champion of a monitor.",
        "nobody",
        _MOMENT,
        "a person or the configuration requested it",
    ),
    "unreadable": EventMeaning(
        "A record holds a value that cannot be read; the other records of its batch are scored.",
        "nobody",
        _MOMENT,
        "`status` counts such records until they are corrected; a source full of them fails, which is alerted",
    ),
    "features_changed": EventMeaning(
        "The configuration names other features than the champion was trained on.",
        "nobody",
        "with the next training",
        "whoever changed the configuration sees it in `status`, and `train` applies it",
    ),
}


def is_alerted(kind: EventKind) -> bool:
    """Return whether events of a kind are alerted.

    >>> is_alerted("gap"), is_alerted("promoted")
    (True, False)
    """
    return EVENT_KINDS[kind].recipients != "nobody"


def is_about_locks(kind: EventKind) -> bool:
    """Return whether an event is recorded without the lock of its monitor, which may be what a run waits for.

    Two processes may then record it at the same moment, each once.
    """
    return kind == "waiting"
