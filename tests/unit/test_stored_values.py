"""Cards, comparisons and origins of models are read from the JSON that version 0.1 wrote, and written in its form."""

import json

import pytest

from detector.core.about import About, PastEpoch, TrainingRange
from detector.core.comparison import ComparisonReport, FlaggedCount
from detector.records.card import RecordCard
from detector.series.card import EntityCard, SeriesCard
from jobs.kinds import card_from_json, kind_of_card

AREAS = {"model": 0.98, "knn": 0.95, "isolation_forest": 0.75, "pca": 0.5}
RECORDS = {
    "training_records": 560,
    "calibration_records": 140,
    "features": 4,
    "cells": 6,
    "score": "combined",
    "epochs": 12,
    "held_out_elbo": -4.5,
    "threshold": 3.25,
    "threshold_method": "conformal",
    "false_positive_rate": 0.01,
    "bytes": 70_000,
    "outliers": 2,
    "outlying_records": {"17": 1.5, "18": 1.25},
    "without_outliers": None,
    "unusual_share": 0.02,
    "unusual_records": {"19": "flow = 3"},
    "unsteady": {},
    "labels": None,
    "compared_records": 140,
    "auroc": {"perturbed": AREAS, "scaled": AREAS},
    "mean_auroc": AREAS,
    "is_beaten_by_knn": False,
    "realised_rates": {"0.1": 0.11, "0.05": 0.04},
}
METHODS = {"model": 0.5, "linear_ar": 0.75, "knn": 0.25, "pca": 0.625}
SERIES = {
    "kind": "series",
    "training_records": 1200,
    "calibration_records": 240,
    "features": 4,
    "entities": 2,
    "own_models": 1,
    "context_rows": 60,
    "only_ranked": 1,
    "score": "series",
    "held_out_elbo": None,
    "threshold": None,
    "threshold_method": "online",
    "false_positive_rate": 0.01,
    "bytes": 90_000,
    "by_entity": {
        "a": {
            "records": 600,
            "model": "its own",
            "calibration_records": 120,
            "is_pooled": False,
            "threshold": 2.5,
            "view_weights": {"level": 1.0},
        },
        "b": {
            "records": 600,
            "model": "shared",
            "calibration_records": 20,
            "is_pooled": True,
            "threshold": None,
            "view_weights": None,
        },
    },
    "counters": ["energy"],
    "calendar": [],
    "beside_baselines": {
        "entities": 2,
        "records": 240,
        "events": {"spike": 9},
        "auc_pr": METHODS,
        "event_recall": {"spike": METHODS},
        "mean_event_recall": METHODS,
        "beaten_by": ["linear_ar", "pca"],
        "problem": None,
    },
}
SIDE = {
    "records": 100,
    "flagged": 1,
    "tolerance": [0, 4],
    "found": {"confirmed": {"flagged": 4, "records": 5}},
    "recall": {"perturbed": 0.9},
    "auroc": {"perturbed": 0.98},
    "elbo": -4.5,
    "fault": None,
    "rate": 0.01,
}
COMPARISON = {
    "champion_id": 1,
    "rate": 0.01,
    "records": 100,
    "cells": 6,
    "verdict": "better",
    "is_refused": False,
    "seen_by_champion": 0,
    "notes": ["The ELBOs do not compare, as their features differ."],
    "challenger": SIDE,
    "champion": SIDE,
    "is_promoted": True,
    "reason": "It is at least as good as model 1.",
}
ABOUT = {
    "training": {
        "records": 700,
        "first_key": "1",
        "last_key": "700",
        "upto_key": "[700]",
        "first_time": "2026-01-05T00:00:00+00:00",
        "last_time": "2026-01-05T11:39:00+00:00",
        "left_out": {"in an incident": 3},
    },
    "versions": {"numpy": "2.3.0", "backend": "tensorflow"},
    "history": [{"number": 1, "of": 2, "elbo": -9.0, "held_out_elbo": -9.5}],
    "grid": "60 s (mean)",
    "profile": {"memory": 1.0},
    "pace": {"step": 600.0, "longest_step": 3600.0},
}


@pytest.mark.parametrize("written", [RECORDS, SERIES])
def test_a_card_is_read_as_the_kind_it_is_of_and_written_as_it_was(written):
    card = card_from_json(json.loads(json.dumps(written, sort_keys=True)))
    assert card.kind == kind_of_card(card).name == written.get("kind", "records")
    assert card.to_json() == written
    assert list(card.to_json()) == list(written)


def test_the_numbers_of_a_card_are_values():
    card, series = RecordCard.from_json(RECORDS), SeriesCard.from_json(SERIES)
    assert (card.threshold, card.peers.realised_rates[0.05], card.peers.auroc["scaled"]["knn"]) == (3.25, 0.04, 0.95)
    assert series.by_entity["a"] == EntityCard(600, "its own", 120, False, 2.5, {"level": 1.0})
    assert series.beside_baselines.beaten_by == ["linear_ar", "pca"]


@pytest.mark.parametrize("written", [{}, {"training_records": 700}, {"kind": "series"}])
def test_a_card_of_an_earlier_version_may_lack_numbers(written):
    card = card_from_json(written)
    assert card.training_records == written.get("training_records")
    assert card.threshold is None


def test_a_comparison_is_read_and_written_as_it_was():
    report = ComparisonReport.from_json(json.loads(json.dumps(COMPARISON)))
    assert (report.verdict, report.challenger.tolerance, report.champion.elbo) == ("better", (0, 4), -4.5)
    assert report.challenger.found == {"confirmed": FlaggedCount(4, 5)}
    assert json.loads(json.dumps(report.to_json())) == COMPARISON


def test_the_origin_of_a_model_is_read_and_written_as_it_was():
    about = About.from_json(ABOUT)
    assert about.to_json() == ABOUT
    assert about.history == (PastEpoch(1, 2, -9.0, -9.5),)
    assert (about.training.keys, about.training.left_out) == ("1 to 700", {"in an incident": 3})


def test_an_origin_without_a_grid_or_a_profile_has_no_such_entries():
    about = {name: value for name, value in ABOUT.items() if name not in {"grid", "profile", "pace"}}
    assert About.from_json(about).to_json() == about
    assert About.from_json({}) == About(training=TrainingRange())
