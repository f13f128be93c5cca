"""Comparison of champion and challenger on the same records, and the decision which of them scores."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from detector.core.json_values import present_fields

Policy = Literal["if_better", "always", "manual", "never"]
Verdict = Literal["first", "better", "worse", "degenerate", "not_compared"]

DEGENERATE_RATE_FACTOR = 10.0  # a model that flags more than so many times the requested rate is degenerate
DEGENERATE_FLAGGED_SHARE = 0.5  # a model that flags a larger share is degenerate
MAX_AUROC_DEFICIT = 0.02  # mean AUROC on synthetic anomalies by which a model may fall behind
MAX_LOST_SHARE = 0.05  # share of the known anomalies that a model may lose
DEGENERATE_LOST_SHARE = 0.5  # a model that loses a larger share of the anomalies that the champion finds is degenerate
MIN_FOUND_BY_CHAMPION = 5  # anomalies; if the champion finds fewer, a sound model may miss most of them by chance
MAX_ELBO_DEFICIT = 0.1  # nats per cell by which the held-out ELBO may fall behind

MAX_LOST_DOUBTFUL_SHARE = 0.1  # share of the flagged records or incidents without a label: some are false alarms

_KIND_NOUNS = {
    "confirmed": "confirmed anomalies",
    "labelled": "anomalies of the label column",
    "flagged": "flagged records that nobody labelled as normal",
    "incidents": "incidents that nobody labelled as normal",
}
_DOUBTFUL_KINDS = {"flagged", "incidents"}
_REFUSED_VERDICTS: tuple[Verdict, ...] = ("worse", "degenerate")


@dataclass(frozen=True)
class FlaggedCount:
    """The number of records, and the number of records that a model flags."""

    flagged: int
    records: int


@dataclass(frozen=True)
class Performance:
    """Results of one model on the records of a comparison.

    Attributes:
        records: held-out normal records.
        flagged: held-out normal records above the threshold.
        tolerance: fewest and most held-out records that a sound model flags; None if no rate was requested.
        found: known anomalies and false alarms, by kind.
        recall: share of the synthetic anomalies that are flagged, by kind.
        auroc: of synthetic anomalies against the normal records they were made from, by kind.
        elbo: held-out, in nats per record and units of the data; None if it is not comparable.
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

    @classmethod
    def from_json(cls, numbers: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote, in this version or an earlier one."""
        tolerance = numbers.get("tolerance")
        found = {kind: FlaggedCount(**counts) for kind, counts in numbers.get("found", {}).items()}
        return cls(
            **present_fields(cls, numbers)
            | {"tolerance": None if tolerance is None else tuple(tolerance), "found": found}
        )

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON holds them."""
        return {**asdict(self), "rate": self.rate}


@dataclass(frozen=True)
class Comparison:
    """Results of two models on the same records.

    Attributes:
        challenger: the new model.
        champion: the model in force; None if there is none, or it cannot score the records.
        champion_id: the champion's number in the store.
        rate: the requested false-positive rate; None if no rate sets the threshold.
        cells: of the challenger's matrix.
        records: held-out normal records that both were measured on; 0 if too few could be spared.
        seen_by_champion: held-out records that the champion was trained on, which flatters it.
        notes: numbers that could not be compared, with the reasons.
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
        """The result in one word; an equal challenger counts as better, since it has learned newer records."""
        if self.faults:
            return "degenerate"
        if self.champion is None:
            return "first"
        if not self.records:
            return "not_compared"
        return "worse" if self.shortcomings else "better"

    @property
    def faults(self) -> list[str]:
        """The reasons why the challenger must not score under any policy; empty if it may."""
        if self.challenger.fault:
            return [self.challenger.fault]
        faults = [
            f"it flags {_flagged_share(self.challenger)} at a requested rate of {self.rate:.2%}"
            if self._flags_far_too_much
            else "",
            "it tells synthetic anomalies from normal records no better than chance" if self._is_by_chance else "",
            *(f"it loses {noun}: {self.counts(kind)}" for kind, noun in _KIND_NOUNS.items() if self._loses_most(kind)),
        ]
        return [fault for fault in faults if fault]

    @property
    def shortcomings(self) -> list[str]:
        """The respects in which the challenger is worse than the champion; empty if it is at least as good."""
        if self.champion is None or self.champion.fault:
            return []
        shortcomings = [
            f"its false-positive rate is further from the requested {self.rate:.2%}: "
            f"it flags {_flagged_share(self.challenger)}, the champion {self.champion.rate:.2%}"
            if self._is_further_from_rate
            else "",
            *(f"it finds fewer {noun}: {self.counts(kind)}" for kind, noun in _KIND_NOUNS.items() if self._loses(kind)),
            f"it finds synthetic anomalies less well: mean AUROC {_mean(self.challenger.auroc):.3f}, "
            f"the champion {_mean(self.champion.auroc):.3f}"
            if self._is_behind_on_synthetic
            else "",
            f"it explains the newest normal records less well: ELBO {self.challenger.elbo:.2f} nats per record, "
            f"the champion {self.champion.elbo:.2f}"
            if self._is_less_likely
            else "",
        ]
        return [shortcoming for shortcoming in shortcomings if shortcoming]

    @property
    def _flags_far_too_much(self) -> bool:
        new, old = self.challenger, self.champion
        if self.rate is None or new.tolerance is None or new.flagged <= new.tolerance[1]:
            return False
        is_far = new.rate > min(DEGENERATE_RATE_FACTOR * self.rate, DEGENERATE_FLAGGED_SHARE)
        return is_far and (old is None or old.fault is not None or self._distance(new) >= self._distance(old))

    @property
    def _is_by_chance(self) -> bool:
        return bool(self.challenger.auroc) and _mean(self.challenger.auroc) < 0.5

    def _loses_most(self, kind: str) -> bool:
        if kind in _DOUBTFUL_KINDS:  # some of them may be false alarms of the champion
            return False
        new, old = self._flagged_counts(kind)
        return old >= MIN_FOUND_BY_CHAMPION and new < (1 - DEGENERATE_LOST_SHARE) * old

    def _loses(self, kind: str) -> bool:
        new, old = self._flagged_counts(kind)
        counts = self.challenger.found.get(kind)
        share = MAX_LOST_DOUBTFUL_SHARE if kind in _DOUBTFUL_KINDS else MAX_LOST_SHARE
        return counts is not None and old - new > share * counts.records

    @property
    def _is_further_from_rate(self) -> bool:
        new, old = self.challenger, self.champion
        if self.rate is None or old is None or new.tolerance is None:
            return False
        is_within = new.tolerance[0] <= new.flagged <= new.tolerance[1]
        chance = math.sqrt(new.flagged + old.flagged) / max(new.records, 1)  # of the difference of both rates
        return not is_within and self._distance(new) - self._distance(old) > chance

    @property
    def _is_behind_on_synthetic(self) -> bool:
        new, old = self.challenger, self.champion
        return old is not None and bool(old.auroc) and _mean(old.auroc) - _mean(new.auroc) > MAX_AUROC_DEFICIT

    @property
    def _is_less_likely(self) -> bool:
        new, old = self.challenger.elbo, None if self.champion is None else self.champion.elbo
        return new is not None and old is not None and old - new > MAX_ELBO_DEFICIT * self.cells

    def _distance(self, performance: Performance) -> float:
        return abs(performance.rate - (self.rate or 0.0))

    def _flagged_counts(self, kind: str) -> tuple[int, int]:
        """Return how many known anomalies of a kind the challenger and the champion flag."""
        if self.champion is None or self.champion.fault or kind not in self.challenger.found:
            return (0, 0)
        return self.challenger.found[kind].flagged, self.champion.found[kind].flagged

    def counts(self, kind: str) -> str:
        """Return how many known anomalies of a kind each model flags, for people."""
        new, old = self._flagged_counts(kind)
        return f"{new} of {self.challenger.found[kind].records}, the champion {old}"


@dataclass(frozen=True)
class PromotionDecision:
    """The decision whether a new model becomes the champion, and its reason."""

    is_promoted: bool
    reason: str


@dataclass(frozen=True)
class ComparisonReport:
    """A comparison and its decision, as stored with the model: later versions of the rules do not change it.

    Attributes:
        verdict: of the rule at the time of the training.
        is_refused: whether the verdict speaks against promoting the model.
        is_promoted: whether the model became the champion.
        reason: why, in a sentence.
        champion_id: as in `Comparison`, like all remaining attributes.
    """

    verdict: Verdict = "first"
    is_refused: bool = False
    is_promoted: bool = False
    reason: str = ""
    champion_id: int | None = None
    rate: float | None = None
    records: int = 0
    cells: int = 0
    seen_by_champion: int = 0
    notes: tuple[str, ...] = ()
    challenger: Performance = Performance()
    champion: Performance | None = None

    @classmethod
    def of(cls, comparison: Comparison, decision: PromotionDecision) -> Self:
        """Return the report of a comparison and its decision."""
        return cls(
            verdict=comparison.verdict,
            is_refused=comparison.verdict in _REFUSED_VERDICTS,
            is_promoted=decision.is_promoted,
            reason=decision.reason,
            **vars(comparison),
        )

    @classmethod
    def from_json(cls, report: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote, in this version or an earlier one."""
        champion = report.get("champion")
        return cls(
            **present_fields(cls, report)
            | {
                "notes": tuple(report.get("notes", ())),
                "challenger": Performance.from_json(report.get("challenger", {})),
                "champion": None if champion is None else Performance.from_json(champion),
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as the `models` table stores it."""
        return {
            **vars(self),
            "notes": list(self.notes),
            "challenger": self.challenger.to_json(),
            "champion": None if self.champion is None else self.champion.to_json(),
        }


def decide(comparison: Comparison, policy: Policy) -> PromotionDecision:
    """Decide whether the challenger becomes the champion.

    A degenerate challenger is never promoted. The first model of a monitor is, unless a challenger was requested.
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
    reason = {
        "degenerate": f"It is degenerate: {_listed(comparison.faults)}.",
        "worse": f"It is worse than model {comparison.champion_id}: {_listed(comparison.shortcomings)}.",
        "better": f"It is at least as good as model {comparison.champion_id}: {_summary(comparison)}.",
        "first": "It is the first model that can score this monitor's records.",
        "not_compared": "Too few normal records could be spared to compare it with the champion.",
    }[comparison.verdict]
    if is_promoted and comparison.verdict in (*_REFUSED_VERDICTS, "not_compared"):
        return f"Promoted on request. {reason}"
    if not is_promoted and comparison.verdict in {"better", "first"}:
        why = "A challenger was requested." if policy == "never" else 'Left to a person, by promote = "manual".'
        return f"{why} {reason}"
    return reason


def _summary(comparison: Comparison) -> str:
    """Return the numbers of a challenger that is no worse."""
    new, old = comparison.challenger, comparison.champion
    requested = "" if comparison.rate is None else f" (requested {comparison.rate:.2%})"
    numbers = [f"it flags {_flagged_share(new)}{requested}"]
    if old is not None and not old.fault:
        numbers[0] += f", the champion {old.rate:.2%}"
        if new.auroc:
            numbers += [
                f"mean AUROC on synthetic anomalies {_mean(new.auroc):.3f}, the champion {_mean(old.auroc):.3f}"
            ]
        numbers += [f"{noun}: {comparison.counts(kind)}" for kind, noun in _KIND_NOUNS.items() if kind in new.found]
    return _listed(numbers)


def _flagged_share(performance: Performance) -> str:
    return f"{performance.rate:.2%} of {performance.records:,} held-out normal records"


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)


def _listed(parts: Iterable[str]) -> str:
    return "; ".join(parts)
