"""The five settings of a proposed monitor that a person should look at."""

from dataclasses import dataclass

from jobs.starter.monitor_text import rate_in_words
from jobs.starter.proposing import Proposal
from jobs.wording import counted_noun


@dataclass(frozen=True)
class Setting:
    """A setting to look at.

    Attributes:
        name: of the setting, as in the configuration.
        note: what was proposed and why.
    """

    name: str
    note: str


def settings_to_review(proposal: Proposal) -> tuple[Setting, ...]:
    """Return five settings, in the order of the configuration."""
    return (
        Setting("key", f"({', '.join(proposal.key.columns)}): {_key_reason(proposal)}"),
        Setting("series" if proposal.readings else "entity", _entity(proposal)),
        Setting("features", _features(proposal)),
        Setting("normal", _normal(proposal)),
        Setting("false_positive_rate", f"{proposal.rate.value:g}: flags {rate_in_words(proposal)}"),
    )


def _key_reason(proposal: Proposal) -> str:
    return proposal.key.reason or "the primary key; new records must sort after old ones"


def _entity(proposal: Proposal) -> str:
    if proposal.readings is not None:
        of_entity = f" of each {proposal.entity}" if proposal.entity else ""
        return f"readings{of_entity} {proposal.readings.pace}, each scored with the ones before it"
    if proposal.entity is not None:
        return f"{proposal.entity}; each record is scored by itself"
    return "none found; each record is scored by itself"


def _features(proposal: Proposal) -> str:
    counts = ", ".join(f"{len(names)} {role}" for role, names in proposal.columns.features.items() if names)
    left_out = len(proposal.columns.left_out)
    rest = f"; {counted_noun(left_out, 'column')} left out, each with its reason in the file" if left_out else ""
    marks = len(proposal.query.marks) if proposal.query else 0
    nulls = f"; null in place of numbers such as -999 in {counted_noun(marks, 'column')}" if marks else ""
    return f"{counts}{rest}{nulls}"


def _normal(proposal: Proposal) -> str:
    if proposal.normal is None:
        return "every record may be trained on"
    left = f"; records from {proposal.cut_off.value} on are left for forecast and evaluate" if proposal.cut_off else ""
    by_label = f"records without {proposal.labels.label}" if proposal.labels.label else ""
    return (
        by_label or "older records" if proposal.labels.normal is None or by_label else proposal.labels.normal
    ) + left
