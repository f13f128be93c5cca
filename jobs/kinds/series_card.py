"""The card of a model of series as people read it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jobs.kinds.card_text import CardTable, Paragraph, origin
from jobs.wording import counted_noun

if TYPE_CHECKING:
    from detector.series.card import BaselineComparison, SeriesCard

METHOD_TITLES = {"model": "model", "linear_ar": "linear AR", "knn": "kNN on windows", "pca": "PCA on windows"}
_ENTITY_COLUMNS = ("entity", "records", "model", "calibrated with", "threshold")
_MAX_ENTITIES_NAMED = 5


class SeriesCardText:
    """The text of the cards of models of series."""

    limits = (
        "The model judges a record with the past of its entity, and flags what is rare among its training records, "
        "harmful or not. A threshold that follows the scores keeps the false-positive rate if an entity drifts, a "
        "fixed one as long as the entity behaves as it did during calibration. Neighbouring records are flagged "
        "together, so count incidents rather than records. Labels act on alerts and on what a training learns, not on "
        "scores."
    )

    def training_facts(self, card: "SeriesCard") -> dict[str, Any]:
        """Return the facts that a training prints."""
        return {
            "records trained on": card.training_records,
            "held back to calibrate": card.calibration_records,
            "channels": card.features,
            "entities / with a model of their own": f"{card.entities} / {card.own_models}",
            "earlier records that a score depends on": card.context_rows,
            "false-positive rate": card.false_positive_rate,
            **_special_features(card),
            "AUC-PR on synthetic anomalies": baselines_line(card.beside_baselines),
        }

    def training_advice(self, card: "SeriesCard", monitor: str) -> Iterator[str]:
        """Yield a warning if a plain baseline clearly beats the model, and the entities that are only ranked."""
        if advice := baselines_advice(card.beside_baselines, monitor):
            yield advice
        only_ranked = sorted(name for name, entity in card.by_entity.items() if entity.threshold is None)
        if only_ranked:
            named = ", ".join(only_ranked[:_MAX_ENTITIES_NAMED])
            named += ", ..." if len(only_ranked) > _MAX_ENTITIES_NAMED else ""
            entities = counted_noun(len(card.by_entity), "entity", "entities")
            yield (
                f"Nothing can be flagged for {len(only_ranked)} of {entities}, whose calibration "
                f"records are too few for the rate: {named}. Collect more normal records, set a larger rate, or "
                "share a model."
            )

    def details(self, card: "SeriesCard", monitor: str) -> Iterator[str | CardTable]:
        """Yield the entities, and how the model and plain baselines did on synthetic anomalies."""
        yield CardTable(_ENTITY_COLUMNS, entity_rows(card), "Entities")
        if weights := weight_table(card):
            yield weights
        comparison = card.beside_baselines
        if comparison.problem:
            yield f"No comparison with plain baselines. {comparison.problem}"
            return
        columns = ["synthetic anomalies", *METHOD_TITLES.values()]
        yield CardTable(columns, baseline_rows(comparison), "Comparison with plain baselines")
        if advice := baselines_advice(comparison, monitor):
            yield advice

    def sections(self, card: "SeriesCard", manifest: Mapping[str, Any]) -> dict[str, list[Paragraph]]:
        """Return the sections on the models of entities, by title, for Markdown."""
        facts = {
            "channels": ", ".join([*manifest.get("numeric", ()), *manifest.get("boolean", ())]),
            "entities": card.entities,
            "entities with a model of their own": card.own_models,
            "earlier records that a score depends on, at most": card.context_rows,
            "false-positive rate": card.false_positive_rate,
            **_special_features(card),
            **origin(manifest),
        }
        return {
            "Model": [facts],
            "Entities": list(_entities(card)),
            "Comparison with plain baselines": list(_baselines(card.beside_baselines)),
        }


def _special_features(card: "SeriesCard") -> dict[str, str]:
    """Return the features that are watched by their increase or by the time of the week; empty if there are none."""
    facts = {"watched by their increase": card.counters, "expected by the time of the week": card.calendar}
    return {title: ", ".join(names) for title, names in facts.items() if names}


def entity_rows(card: "SeriesCard") -> list[tuple[Any, ...]]:
    """Return for each entity its name, records, model, calibration records and threshold."""
    return [
        (
            name,
            entity.records,
            entity.model,
            f"{entity.calibration_records:,}" + (" of several entities" if entity.is_pooled else ""),
            "none: too few for the rate" if entity.threshold is None else entity.threshold,
        )
        for name, entity in sorted(card.by_entity.items())
    ]


def weight_table(card: "SeriesCard") -> CardTable | None:
    """Return how much each view of an entity counts, None for a view that it lacks; None if all views count alike."""
    weights = {name: entity.view_weights for name, entity in sorted(card.by_entity.items()) if entity.view_weights}
    views = sorted({view for of_entity in weights.values() for view in of_entity})
    rows = [(name, *map(of_entity.get, views)) for name, of_entity in weights.items()]
    return CardTable(["entity", *views], rows, "How much each view counts") if rows else None


def baseline_rows(comparison: "BaselineComparison") -> list[tuple[Any, ...]]:
    """Return the results of each method: AUC-PR, then the share of events found, by kind."""
    kinds = sorted(comparison.event_recall)  # by name, as JSON keeps no order
    rows = {
        "AUC-PR": comparison.auc_pr,
        "events found": comparison.mean_event_recall,
        **{f"events found, {kind}": comparison.event_recall[kind] for kind in kinds},
    }
    return [(name, *(values[method] for method in METHOD_TITLES)) for name, values in rows.items()]


def baselines_line(comparison: "BaselineComparison") -> str:
    """Return the area under precision over recall, the model first, or why there is none.

    >>> from detector.series.card import BaselineComparison
    >>> baselines_line(BaselineComparison(auc_pr={"knn": 0.5, "pca": 0.25, "linear_ar": 0.75, "model": 0.8}))
    '0.800 (linear AR 0.750, kNN on windows 0.500, PCA on windows 0.250)'
    """
    if comparison.problem:
        return f"not available. {comparison.problem}"
    area = comparison.auc_pr
    baselines = [f"{title} {area[method]:.3f}" for method, title in METHOD_TITLES.items() if method != "model"]
    return f"{area['model']:.3f} ({', '.join(baselines)})"


def baselines_warning(comparison: "BaselineComparison") -> str | None:
    """Return which baselines clearly beat the model; None if none does."""
    if not comparison.beaten_by:
        return None
    area = comparison.auc_pr
    better = ", ".join(f"{METHOD_TITLES[method]} (AUC-PR {area[method]:.3f})" for method in comparison.beaten_by)
    return f"Plain baselines find synthetic anomalies clearly better than this model ({area['model']:.3f}): {better}."


def baselines_advice(comparison: "BaselineComparison", monitor: str) -> str | None:
    """Return advice if a plain baseline clearly beats the model, or None."""
    warning = baselines_warning(comparison)
    return warning and (
        f"{warning} Train on more normal records, list fewer or better channels, and compare on labelled data: "
        f"plumbline evaluate {monitor}"
    )


def _entities(card: "SeriesCard") -> Iterator[Paragraph]:
    if card.only_ranked:
        entities = counted_noun(card.only_ranked, "entity has", "entities have")
        yield f"{entities} too few calibration records for the rate: nothing is flagged."
    yield CardTable(_ENTITY_COLUMNS, entity_rows(card))
    if weights := weight_table(card):
        yield "How much each view counts, by how well it separates synthetic anomalies from the entity's own records:"
        yield weights


def _baselines(comparison: "BaselineComparison") -> Iterator[Paragraph]:
    if comparison.problem:
        yield comparison.problem
        return
    events = counted_noun(sum(comparison.events.values()), "event")
    entities = counted_noun(comparison.entities, "entity", "entities")
    yield (
        f"On {events} put into {comparison.records:,} held-back normal records of {entities}, one channel each. Every "
        "method, the model too, was fitted again for this on the same earlier records."
    )
    yield CardTable(("", *METHOD_TITLES.values()), baseline_rows(comparison))
    if warning := baselines_warning(comparison):
        yield warning
