"""Champion and challenger on the same records: the numbers, and the rule that decides by them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Policy = Literal["if_better", "always", "manual", "never"]
Verdict = Literal["first", "better", "worse", "degenerate", "not_compared"]

FAR = 10.0  # times the rate asked for, from which on a model flags far too much,
MOST_FLAGGED = 0.5  # and so it does from this share on
CLEARLY = 0.02  # mean AUROC on synthetic anomalies by which a model may fall behind
MOST_LOST = 0.05  # share of the known anomalies that it may lose
MUCH_LOST = 0.5  # share that it may lose of those that the champion finds before it counts as broken
FEWEST_FOUND = 5  # of those: of fewer, a sound model may miss most by chance
CLEARLY_UNLIKELY = 0.1  # nats per cell by which its held-out ELBO may fall behind

_KNOWN = {"confirmed": "confirmed anomalies", "labelled": "anomalies of the label column"}
_REFUSED: tuple[Verdict, ...] = ("worse", "degenerate")


@dataclass(frozen=True)
class FlaggedCount:
    """How many of some records a model flags."""

    flagged: int
    records: int


@dataclass(frozen=True)
class Performance:
    """Results of one model on the records of a comparison.

    Attributes:
        records: held-out normal records.
        flagged: how many of them are above the threshold.
        tolerance: fewest and most of them that a sound model flags; None if no rate was requested.
        found: known anomalies and false alarms, by kind.
        recall: share of the synthetic anomalies that are flagged, by kind.
        auroc: of synthetic anomalies against the normal records they were made from, by kind.
        elbo: held-out, in nats per record and units of the data; None if it does not compare.
        fault: why the scores are unusable; None if they are sound.
    """

    records: int = 0
    flagged: int = 0
    tolerance: tuple[int, int] | None = None
    found: Mapping[str, FlaggedCount] = field(default_factory=dict)
    recall: Mapping[str, float] = field(default_factory=dict)
    auroc: Mapping[str, float] = field(default_factory=dict)
    elbo: float | None = None
    fault: str | None = None

    @property
    def rate(self) -> float:
        """The share of held-out normal records that is flagged; 0 without any."""
        return self.flagged / self.records if self.records else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON holds them."""
        return {**asdict(self), "rate": self.rate}


@dataclass(frozen=True)
class Comparison:
    """What two models made of the same records.

    Attributes:
        challenger: the new model.
        champion: the model in force; None where there is none, or none that can be tried.
        champion_id: its number in the store.
        rate: the false-positive rate asked for; None for thresholds that are not set by one.
        cells: of the challenger's matrix.
        records: held-out normal records that both were tried on; none where too few could be spared.
        seen_by_champion: how many of them the champion was made from, which flatters it.
        notes: what could not be compared, and why.
    """

    challenger: Performance
    champion: Performance | None
    champion_id: int | None
    rate: float | None
    cells: int
    records: int
    seen_by_champion: int
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The rule on one word; equal counts as better, since the challenger knows newer records."""
        if self.faults:
            return "degenerate"
        if self.champion is None:
            return "first"
        if not self.records:
            return "not_compared"
        return "worse" if self.shortcomings else "better"

    @property
    def faults(self) -> list[str]:
        """Why the challenger must not score, whoever asks for it; empty where it may."""
        if self.challenger.fault:
            return [self.challenger.fault]
        found = [
            f"it flags {_of(self.challenger)} where {self.rate:.2%} was asked for" if self._flags_far_too_much else "",
            "it tells synthetic anomalies from normal records no better than chance" if self._knows_nothing else "",
            *(f"it loses {noun}: {self.counts(kind)}" for kind, noun in _KNOWN.items() if self._loses_most(kind)),
        ]
        return [fault for fault in found if fault]

    @property
    def shortcomings(self) -> list[str]:
        """In what the challenger is worse than the champion; empty where it is at least as good."""
        if self.champion is None or self.champion.fault:
            return []
        found = [
            f"its false-positive rate is further from the {self.rate:.2%} asked for: it flags {_of(self.challenger)}, "
            f"the champion {self.champion.rate:.2%}"
            if self._is_further_from_rate
            else "",
            *(f"it finds fewer {noun}: {self.counts(kind)}" for kind, noun in _KNOWN.items() if self._loses(kind)),
            f"it finds synthetic anomalies less well: mean AUROC {_mean(self.challenger.auroc):.3f}, "
            f"the champion {_mean(self.champion.auroc):.3f}"
            if self._is_behind_on_synthetic
            else "",
            f"it explains the newest normal records less well: ELBO {self.challenger.elbo:.2f} nats per record, "
            f"the champion {self.champion.elbo:.2f}"
            if self._is_less_likely
            else "",
        ]
        return [shortcoming for shortcoming in found if shortcoming]

    @property
    def _flags_far_too_much(self) -> bool:
        new, old = self.challenger, self.champion
        if self.rate is None or new.tolerance is None or new.flagged <= new.tolerance[1]:
            return False
        is_far = new.rate > min(FAR * self.rate, MOST_FLAGGED)
        return is_far and (old is None or old.fault is not None or self._distance(new) >= self._distance(old))

    @property
    def _knows_nothing(self) -> bool:
        return bool(self.challenger.auroc) and _mean(self.challenger.auroc) < 0.5

    def _loses_most(self, kind: str) -> bool:
        new, old = self._found(kind)
        return old >= FEWEST_FOUND and new < (1 - MUCH_LOST) * old

    def _loses(self, kind: str) -> bool:
        new, old = self._found(kind)
        return old - new > MOST_LOST * self.challenger.found[kind].records if kind in self.challenger.found else False

    @property
    def _is_further_from_rate(self) -> bool:
        new, old = self.challenger, self.champion
        if self.rate is None or old is None or new.tolerance is None:
            return False
        is_within = new.tolerance[0] <= new.flagged <= new.tolerance[1]
        return not is_within and self._distance(new) > self._distance(old)

    @property
    def _is_behind_on_synthetic(self) -> bool:
        new, old = self.challenger, self.champion
        return old is not None and bool(old.auroc) and _mean(old.auroc) - _mean(new.auroc) > CLEARLY

    @property
    def _is_less_likely(self) -> bool:
        new, old = self.challenger.elbo, None if self.champion is None else self.champion.elbo
        return new is not None and old is not None and old - new > CLEARLY_UNLIKELY * self.cells

    def _distance(self, performance: Performance) -> float:
        return abs(performance.rate - (self.rate or 0.0))

    def _found(self, kind: str) -> tuple[int, int]:
        """How many known anomalies of a kind the challenger and the champion flag."""
        if self.champion is None or self.champion.fault or kind not in self.challenger.found:
            return (0, 0)
        return self.challenger.found[kind].flagged, self.champion.found[kind].flagged

    def counts(self, kind: str) -> str:
        """How many known anomalies of a kind each model flags."""
        new, old = self._found(kind)
        return f"{new} of {self.challenger.found[kind].records}, the champion {old}"

    def to_json(self) -> dict[str, Any]:
        """The numbers as the `models` table stores them."""
        numbers = {"champion_id": self.champion_id, "rate": self.rate, "records": self.records, "cells": self.cells}
        return {
            **numbers,
            "verdict": self.verdict,
            "is_refused": self.verdict in _REFUSED,
            "seen_by_champion": self.seen_by_champion,
            "notes": list(self.notes),
            "challenger": self.challenger.to_json(),
            "champion": None if self.champion is None else self.champion.to_json(),
        }


@dataclass(frozen=True)
class PromotionDecision:
    """Whether a new model becomes the champion, and why."""

    is_promoted: bool
    reason: str


def decide(comparison: Comparison, policy: Policy) -> PromotionDecision:
    """What becomes of the challenger.

    A degenerate one is never promoted. The first model of a monitor is, unless somebody asked for a challenger.
    """
    verdict = comparison.verdict
    is_promoted = {
        "if_better": verdict in {"first", "better"},
        "always": verdict != "degenerate",
        "manual": verdict == "first" and comparison.champion_id is None,
        "never": False,
    }[policy]
    return PromotionDecision(is_promoted, _reason(comparison, policy, is_promoted=is_promoted))


def _reason(comparison: Comparison, policy: Policy, *, is_promoted: bool) -> str:
    found = {
        "degenerate": f"It is degenerate: {_listed(comparison.faults)}.",
        "worse": f"It is worse than model {comparison.champion_id}: {_listed(comparison.shortcomings)}.",
        "better": f"It is at least as good as model {comparison.champion_id}: {_summary(comparison)}.",
        "first": "It is the first model that can score this monitor's records.",
        "not_compared": "Too few normal records could be spared to compare it with the champion.",
    }[comparison.verdict]
    if is_promoted and comparison.verdict in (*_REFUSED, "not_compared"):
        return f"Promoted since that was asked for. {found}"
    if not is_promoted and comparison.verdict in {"better", "first"}:
        why = "A challenger was asked for." if policy == "never" else 'Left to a person, by promote = "manual".'
        return f"{why} {found}"
    return found


def _summary(comparison: Comparison) -> str:
    """The numbers of a challenger that is no worse."""
    new, old = comparison.challenger, comparison.champion
    beside = [f"it flags {_of(new)}" + (f" (asked {comparison.rate:.2%})" if comparison.rate is not None else "")]
    if old is not None and not old.fault:
        beside[0] += f", the champion {old.rate:.2%}"
        if new.auroc:
            beside += [f"mean AUROC on synthetic anomalies {_mean(new.auroc):.3f}, the champion {_mean(old.auroc):.3f}"]
        beside += [f"{noun}: {comparison.counts(kind)}" for kind, noun in _KNOWN.items() if kind in new.found]
    return _listed(beside)


def _of(performance: Performance) -> str:
    return f"{performance.rate:.2%} of {performance.records:,} held-out normal records"


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)


def _listed(parts: Iterable[str]) -> str:
    return "; ".join(parts)
