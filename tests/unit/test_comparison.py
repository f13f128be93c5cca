"""Comparison of champion and challenger: the verdicts, and the decisions by policy."""

import json
from dataclasses import replace

import pytest

from detector.core.comparison import Comparison, ComparisonReport, FlaggedCount, Performance, decide

SOUND = Performance(
    records=1000,
    flagged=10,
    tolerance=(2, 24),
    found={
        "confirmed": FlaggedCount(30, 30),
        "labelled": FlaggedCount(8, 8),
        "incidents": FlaggedCount(10, 10),
        "flagged": FlaggedCount(20, 20),
    },
    recall={"perturbed": 0.9},
    auroc={"perturbed": 0.98, "scaled": 0.90},
    elbo=-10.0,
)


def compared(challenger=SOUND, champion=SOUND, **given):
    numbers = {"champion_id": None if champion is None else 7, "rate": 0.01, "cells": 10, "records": 1000}
    return Comparison(challenger, champion, **numbers | {"seen_by_champion": 0} | given)


def finds(kind, flagged, of):
    return replace(SOUND, found={kind: FlaggedCount(flagged, of)})


def reported(*sides):
    comparison = compared(*sides)
    return ComparisonReport.of(comparison, decide(comparison, "if_better"))


def promoted_by(comparison):
    return {policy for policy in ("if_better", "always", "manual", "never") if decide(comparison, policy).is_promoted}


def test_equal_counts_as_better():
    assert compared().verdict == "better"
    assert promoted_by(compared()) == {"if_better", "always"}
    assert decide(compared(), "if_better").reason.startswith("It is at least as good as model 7: it flags 1.00%")


@pytest.mark.parametrize(
    ("challenger", "reason"),
    [
        (replace(SOUND, flagged=25), "further from the requested 1.00%: it flags 2.50%"),
        (replace(SOUND, flagged=1), "further from the requested 1.00%: it flags 0.10%"),
        (replace(SOUND, auroc={"perturbed": 0.95, "scaled": 0.88}), "mean AUROC 0.915, the champion 0.940"),
        (replace(SOUND, elbo=-11.1), "ELBO -11.10 nats per record, the champion -10.00"),
        (finds("confirmed", 28, 30), "it finds fewer confirmed anomalies: 28 of 30, the champion 30"),
        (
            finds("incidents", 8, 10),
            "fewer incidents that nobody labelled as normal: 8 of 10, the champion 10",
        ),
        (finds("flagged", 17, 20), "it finds fewer flagged records that nobody labelled as normal: 17 of 20"),
        (finds("labelled", 7, 8), "it finds fewer anomalies of the label column: 7 of 8, the champion 8"),
    ],
)
def test_a_challenger_that_is_worse_in_one_way_is_not_promoted_unless_always(challenger, reason):
    comparison = compared(challenger)
    assert comparison.verdict == "worse"
    assert promoted_by(comparison) == {"always"}
    assert decide(comparison, "if_better").reason.startswith("It is worse than model 7: ")
    assert reason in decide(comparison, "always").reason


@pytest.mark.parametrize(("flagged", "champion", "verdict"), [(1, 2, "better"), (1, 5, "worse"), (27, 25, "better")])
def test_a_challenger_is_further_from_the_rate_by_more_than_chance(flagged, champion, verdict):
    assert compared(replace(SOUND, flagged=flagged), replace(SOUND, flagged=champion)).verdict == verdict


@pytest.mark.parametrize(
    "challenger",
    [
        replace(SOUND, flagged=24),
        replace(SOUND, auroc={"perturbed": 0.97, "scaled": 0.88}),
        replace(SOUND, elbo=-10.9),
        replace(SOUND, elbo=None),
        finds("confirmed", 29, 30),
        finds("incidents", 9, 10),
        finds("flagged", 18, 20),
    ],
)
def test_what_lies_within_the_margins_is_no_worse(challenger):
    assert compared(challenger).verdict == "better"


def test_a_rate_beyond_the_tolerance_is_no_worse_if_the_champion_is_further_off():
    assert compared(replace(SOUND, flagged=40), replace(SOUND, flagged=80)).verdict == "better"
    assert compared(replace(SOUND, flagged=80), replace(SOUND, flagged=40)).verdict == "worse"


@pytest.mark.parametrize(
    ("challenger", "reason"),
    [
        (replace(SOUND, fault="its scores are not all finite"), "its scores are not all finite"),
        (replace(SOUND, flagged=101), "it flags 10.10% of 1,000 held-out normal records at a requested rate of 1.00%"),
        (replace(SOUND, auroc={"perturbed": 0.4, "scaled": 0.5}), "no better than chance"),
        (finds("confirmed", 14, 30), "it loses confirmed anomalies: 14 of 30, the champion 30"),
        (finds("labelled", 0, 8), "it loses anomalies of the label column: 0 of 8, the champion 8"),
    ],
)
def test_a_degenerate_challenger_is_never_promoted(challenger, reason):
    comparison = compared(challenger)
    assert promoted_by(comparison) == set()
    assert decide(comparison, "always").reason.startswith("It is degenerate: ")
    assert reason in decide(comparison, "always").reason


def test_few_known_anomalies_make_a_challenger_worse_and_not_degenerate():
    comparison = compared(finds("confirmed", 0, 2), finds("confirmed", 2, 2))
    assert comparison.verdict == "worse"
    assert promoted_by(comparison) == {"always"}


def test_a_rate_far_off_is_not_degenerate_if_the_champion_is_further_off():
    drifted = replace(SOUND, flagged=600)
    assert compared(replace(SOUND, flagged=120), drifted).verdict == "better"
    assert compared(replace(SOUND, flagged=600), drifted).verdict == "degenerate"


def test_the_first_model_is_promoted_unless_it_is_degenerate_or_a_challenger_was_requested():
    first = compared(champion=None, records=0)
    assert first.verdict == "first"
    assert promoted_by(first) == {"if_better", "always", "manual"}
    broken = compared(replace(SOUND, fault="it gives every normal record the same score, 0"), None, records=0)
    assert promoted_by(broken) == set()


def test_a_champion_that_cannot_score_gives_way_but_not_behind_a_persons_back():
    assert promoted_by(compared(champion=None, champion_id=7)) == {"if_better", "always"}
    assert promoted_by(compared(champion=Performance(records=1000, fault="its scores are not all finite"))) == {
        "if_better",
        "always",
    }


def test_without_held_out_records_nothing_is_called_better():
    neither = replace(SOUND, records=0, flagged=0, tolerance=None, elbo=None)
    comparison = compared(neither, neither, records=0)
    assert comparison.verdict == "not_compared"
    assert promoted_by(comparison) == {"always"}


def test_a_threshold_without_a_rate_is_not_judged_by_one():
    flags_all = replace(SOUND, flagged=900, tolerance=None)
    assert compared(flags_all, rate=None).verdict == "better"
    assert "requested" not in decide(compared(flags_all, rate=None), "if_better").reason


def test_every_number_that_decided_is_kept():
    document = json.loads(json.dumps(reported(finds("confirmed", 14, 30)).to_json(), allow_nan=False))
    assert (document["verdict"], document["is_refused"], document["champion_id"]) == ("degenerate", True, 7)
    assert document["challenger"]["found"]["confirmed"] == {"flagged": 14, "records": 30}
    assert document["champion"]["rate"] == 0.01
    assert not reported().to_json()["is_refused"]


def test_a_report_is_read_back_as_it_was_written():
    report = reported(finds("confirmed", 14, 30))
    assert ComparisonReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_a_report_of_an_earlier_version_lacks_numbers_and_is_read():
    first = {"verdict": "worse", "is_refused": True, "reason": "It is worse.", "challenger": {"records": 5}}
    report = ComparisonReport.from_json(first)
    assert (report.verdict, report.is_refused, report.reason, report.notes) == ("worse", True, "It is worse.", ())
    assert (report.challenger.records, report.challenger.found, report.champion) == (5, {}, None)
