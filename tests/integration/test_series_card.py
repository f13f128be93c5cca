"""The card of a series monitor: stored with its model, written out, and shown, on each database."""

import json
from dataclasses import replace

import pytest

from detector.series.card import METHODS, BaselineComparison, EntityCard, SeriesCard
from jobs.commands.card import card_facts, describe_card
from jobs.kinds.series_card import baselines_advice, baselines_line, baselines_warning, weight_table
from jobs.output import Output


def beaten(beside, *methods):
    area = dict.fromkeys(METHODS, 0.5) | dict.fromkeys(methods, 0.75)
    return replace(beside, auc_pr=area, event_recall={"spike": dict.fromkeys(METHODS, 0.5)})


def test_a_training_stores_the_comparison_with_baselines(mixer):
    report = mixer.train()
    beside = mixer.store.models.get(report.model_id).card.beside_baselines
    assert (beside.entities, beside.records, beside.problem) == (2, 240, None)
    assert set(beside.auc_pr) == set(METHODS)
    assert 0.5 < beside.auc_pr["model"] <= 1
    text = mixer.store.models.card_markdown(report.model_id)
    assert "## Comparison with plain baselines" in text
    assert "events put into 240 held-back normal records of 2 entities" in text
    assert "|  | model | linear AR | kNN on windows | PCA on windows |" in text
    assert f"| AUC-PR | {beside.auc_pr['model']:.4g} |" in text
    assert f"| events found, stuck | {beside.event_recall['stuck']['model']:.4g} |" in text


def test_training_again_gives_the_same_card(mixer):
    mixer.train()
    first, second = (mixer.train("never").card.beside_baselines for _ in range(2))
    assert first == second


def test_records_held_out_for_the_champion_are_no_part_of_it(mixer):
    mixer.train()
    report = mixer.train("never")
    assert report.card.training_records == 1080
    assert report.card.beside_baselines.records == 2 * 108


def test_with_too_few_records_the_card_has_the_reason(mixer, capsys):
    report = mixer.train(normal="id <= 900")
    why = "No entity has the 500 normal records that it takes to hold back 100."
    assert why in mixer.store.models.card_markdown(report.model_id)
    card = mixer.store.models.get(report.model_id).card
    describe_card(Output(is_json=False), card, "mixer")
    assert f"No comparison with plain baselines. {why}" in capsys.readouterr().out
    assert baselines_line(card.beside_baselines) == f"not available. {why}"


def test_a_shown_card_does_not_depend_on_the_order_of_its_keys(mixer, capsys):
    card = mixer.store.models.get(mixer.train().model_id).card
    describe_card(Output(is_json=False), card, "mixer")
    shown = capsys.readouterr().out
    again = SeriesCard.from_json(json.loads(json.dumps(card.to_json(), sort_keys=True)))
    describe_card(Output(is_json=False), again, "mixer")
    assert capsys.readouterr().out == shown
    assert "Comparison with plain baselines" in shown
    assert "events found, decoupled" in shown
    assert "beside baselines" not in card_facts(card)


def test_a_baseline_that_beats_the_model_is_named_with_advice(mixer, capsys):
    card = mixer.store.models.get(mixer.train().model_id).card
    card = replace(card, beside_baselines=beaten(card.beside_baselines, "linear_ar", "knn"))
    describe_card(Output(is_json=False), card, "mixer")
    shown = capsys.readouterr().out
    assert "clearly better than this model (0.500): linear AR (AUC-PR 0.750), kNN on windows (AUC-PR 0.750)." in shown
    assert shown.endswith("plumbline evaluate mixer\n")


@pytest.mark.parametrize("tell", [baselines_warning, lambda beside: baselines_advice(beside, "mixer")])
def test_without_a_better_baseline_there_is_no_warning(tell):
    assert tell(BaselineComparison()) is None


def test_a_model_of_an_earlier_version_shows_its_entities(mixer, capsys):
    card = mixer.train().card.to_json()
    del card["beside_baselines"]
    describe_card(Output(is_json=False), SeriesCard.from_json(card), "mixer")
    assert "Entities" in capsys.readouterr().out


def test_the_weights_of_views_are_shown_if_they_differ(mixer, capsys):
    described = {}
    for select in ("all", "auto"):
        report = mixer.train("never", series={"select": select})
        describe_card(Output(is_json=False), mixer.store.models.get(report.model_id).card, "mixer")
        described[select] = (mixer.store.models.card_markdown(report.model_id), capsys.readouterr().out)
    assert not any("each view counts" in text for text in described["all"])
    markdown, shown = described["auto"]
    assert "| entity | departure | dispersion | forecast | level | relation |" in markdown
    assert "How much each view counts" in shown
    weights = [of.view_weights for of in mixer.store.models.get(report.model_id).card.by_entity.values()]
    assert [set(of) for of in weights] == [{"departure", "dispersion", "forecast", "level", "relation"}] * 2
    assert all(max(of.values()) == 1 for of in weights)


def test_entities_may_have_different_views():
    entities = {"a": {"calendar": 1.0, "level": 0.5}, "b": {"level": 1.0}}
    card = SeriesCard(by_entity={name: EntityCard(view_weights=weights) for name, weights in entities.items()})
    table = weight_table(card)
    assert (list(table.columns), list(table.rows)) == (
        ["entity", "calendar", "level"],
        [("a", 1.0, 0.5), ("b", None, 1.0)],
    )
