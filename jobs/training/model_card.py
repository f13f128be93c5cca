"""The model card in Markdown: what a model is made of, how good it is, and what it is not to be trusted with."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.wording import counted_noun, shown

METHODS = {"model": "model", "knn": "kNN", "isolation_forest": "isolation forest", "pca": "PCA"}
SERIES_METHODS = {"model": "model", "linear_ar": "linear AR", "knn": "kNN on windows", "pca": "PCA on windows"}

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#|~!&$])")
_KNOWN = {
    "confirmed": "confirmed anomalies flagged",
    "labelled": "anomalies of the label column flagged",
    "false_alarms": "false alarms flagged again",
}
_LIMITS = (
    "It judges each record by itself, by the features above, and calls anomalous what is rare among its training "
    "records, harmful or not. Synthetic anomalies say how it fares on errors of their kind; of which kind real ones "
    "are, nobody knows. Its false-positive rate holds as long as new normal records are like those that it was "
    "calibrated with."
)
_SERIES_LIMITS = (
    "It judges a record with the past of its entity, and calls anomalous what is rare among the training records, "
    "harmful or not. Its false-positive rate holds as long as an entity goes on as it did when it was calibrated; "
    "records that resemble their neighbours are flagged together, so incidents say more than records."
)


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        monitor: the monitor's name.
        manifest: of the artifact.
        card: the numbers beside simple peers.
        comparison: the numbers beside the champion, the decision and its reason.
    """

    monitor: str
    manifest: Mapping[str, Any]
    card: Mapping[str, Any]
    comparison: Mapping[str, Any]


def render_card(facts: CardFacts) -> str:
    """The card of a model; names and values from the data stand in it as text, whatever markup they look like."""
    is_series = facts.card.get("kind") == "series"
    sections = {
        "Data": _data(facts),
        **(_series(facts) if is_series else {"Model": _model(facts), "Beside simple peers": _peers(facts.card)}),
        "Beside the champion": _champion(facts.comparison),
        "Decision": [plain(facts.comparison["reason"])],
        "Limits": [_SERIES_LIMITS if is_series else _LIMITS],
    }
    lines = [f"# Model card of monitor {plain(facts.monitor)}"]
    for title, paragraphs in sections.items():
        lines += [f"## {title}", *filter(None, paragraphs)]
    return "\n\n".join(lines) + "\n"


def plain(value: Any) -> str:
    r"""A value as text that Markdown shows as it stands.

    >>> print(plain("a|b <i>"))
    a\|b \<i\>
    """
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def comparison_rows(comparison: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What was found in a comparison: its name, the new model's value and the champion's, None where it has none."""
    sides = [comparison["challenger"], comparison["champion"] or {}]
    kinds = sorted({kind for side in sides for kind in side.get("auroc", {})})
    found: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "held-out normal records": lambda side: side.get("records") or None,
        "of them flagged": lambda side: side.get("flagged") if side.get("records") else None,
        "a sound model flags": _tolerance,
        "ELBO, nats per record in the data's units": lambda side: side.get("elbo"),
        **{name: _entry("found", kind) for kind, name in _KNOWN.items()},
        **{f"AUROC on synthetic anomalies, {kind}": _entry("auroc", kind) for kind in kinds},
        **{f"synthetic anomalies flagged, {kind}": _entry("recall", kind) for kind in kinds},
        "fault": lambda side: side.get("fault"),
    }
    rows = [(name, *(get(side) for side in sides)) for name, get in found.items()]
    return [(name, new, old) for name, new, old in rows if new is not None or old is not None]


def _entry(group: str, kind: str) -> Callable[[Mapping[str, Any]], Any]:
    """Reads a number of one side; that of known records says of how many."""

    def read(side: Mapping[str, Any]) -> Any:
        value = side.get(group, {}).get(kind)
        return f"{value['flagged']:,} of {value['records']:,}" if isinstance(value, Mapping) else value

    return read


def _tolerance(side: Mapping[str, Any]) -> str | None:
    if not side.get("records") or not side.get("tolerance"):
        return None
    low, high = side["tolerance"]
    return f"{low:,} to {high:,}"


def _data(facts: CardFacts) -> list[str]:
    training, card = facts.manifest["about"]["training"], facts.card
    left_out = [f"- {count:,} {reason}" for reason, count in sorted(training["left_out"].items())]
    rows = {
        "records": training["records"],
        "keys": f"{training['first_key']} to {training['last_key']}",
        "times": f"{training['first_time']} to {training['last_time']}" if training["first_time"] else None,
        "trained on": card["training_records"],
        "calibrated with": card["calibration_records"],
        "held out for the comparison": facts.comparison["records"],
    }
    told = "Normal records that were left out:\n\n" + "\n".join(left_out)
    return [_facts(rows), told if left_out else "No normal record was left out."]


def _model(facts: CardFacts) -> list[str]:
    card, known = facts.card, facts.manifest
    rows = {
        "score": card["score"],
        "threshold": card["threshold"],
        "threshold set by": card["threshold_method"],
        "false-positive rate": card["false_positive_rate"],
        "held-out ELBO, nats per record in its own units": card["held_out_elbo"],
        "epochs": card["epochs"],
        "encoded columns": card["cells"],
        **_origin(known),
    }
    return [_facts(rows), _table(("feature", "learned as"), [(c["name"], c["type"]) for c in known["columns"]])]


def _series(facts: CardFacts) -> dict[str, list[str]]:
    """The sections on the models of entities."""
    card, known = facts.card, facts.manifest
    rows = {
        "channels": ", ".join([*known["numeric"], *known["boolean"]]),
        "entities": card["entities"],
        "of them with a model of their own": card["own_models"],
        "earlier records that a score depends on, at most": card["context_rows"],
        "false-positive rate": card["false_positive_rate"],
        **_origin(known),
    }
    only_ranked = f"{card['only_ranked']:,} of them have too few calibration records for the rate: nothing is flagged."
    columns = ("entity", "records", "model", "calibrated with", "threshold")
    table = _table(columns, entity_rows(card))
    return {
        "Model": [_facts(rows)],
        "Entities": [only_ranked if card["only_ranked"] else "", table, *_weights(card)],
        "Beside plain baselines": _baselines(card["beside_baselines"]),
    }


def entity_rows(card: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Of each entity of a model of series: its name, records, model, calibration records and threshold."""
    return [
        (
            name,
            of["records"],
            of["model"],
            f"{of['calibration_records']:,}" + (" of several entities" if of["is_pooled"] else ""),
            "none: too few for the rate" if of["threshold"] is None else of["threshold"],
        )
        for name, of in sorted(card["by_entity"].items())
    ]


def _weights(card: Mapping[str, Any]) -> list[str]:
    columns, rows = weight_table(card)
    told = "How much each view counts, by how well it told synthetic anomalies in held-back records of the entity:"
    return [told, _table(columns, rows)] if rows else []


def weight_table(card: Mapping[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of what each view of an entity counts; no row where all count alike."""
    weights = {name: of["view_weights"] for name, of in sorted(card["by_entity"].items()) if of.get("view_weights")}
    views = sorted({view for of_entity in weights.values() for view in of_entity})
    return ["entity", *views], [(name, *(of_entity[view] for view in views)) for name, of_entity in weights.items()]


def _baselines(beside: Mapping[str, Any]) -> list[str]:
    if beside["problem"]:
        return [beside["problem"]]
    events = counted_noun(sum(beside["events"].values()), "event")
    entities = counted_noun(beside["entities"], "entity", "entities")
    told = (
        f"On {events} put into {beside['records']:,} held-back normal records of {entities}, one channel each. Every "
        "method was fitted anew for this, the model too, on the same earlier records."
    )
    columns = ("", *SERIES_METHODS.values())
    return [told, _table(columns, baseline_rows(beside)), baselines_warning(beside) or ""]


def baseline_rows(beside: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What each method made of the events: AUC-PR, then the share that it finds, by kind."""
    kinds = sorted(beside["event_recall"])  # PostgreSQL does not keep the order of keys
    rows = {
        "AUC-PR": beside["auc_pr"],
        "events found": beside["mean_event_recall"],
        **{f"events found, {kind}": beside["event_recall"][kind] for kind in kinds},
    }
    return [(name, *(found[method] for method in SERIES_METHODS)) for name, found in rows.items()]


def baselines_warning(beside: Mapping[str, Any]) -> str | None:
    """Which baselines clearly beat the model, where one does."""
    if not beside["beaten_by"]:
        return None
    area = beside["auc_pr"]
    better = ", ".join(f"{SERIES_METHODS[method]} (AUC-PR {area[method]:.3f})" for method in beside["beaten_by"])
    return f"Plain baselines find synthetic anomalies clearly better than this model ({area['model']:.3f}): {better}."


def _origin(known: Mapping[str, Any]) -> dict[str, str]:
    """What a model was trained with."""
    versions = ", ".join(f"{name} {value}" for name, value in known["about"]["versions"].items())
    return {"settings": _listed(known["config"]), "made with": versions}


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


def _peers(card: Mapping[str, Any]) -> list[str]:
    if not card["auroc"]:
        return ["No synthetic anomaly can be made of these features."]
    by_kind = [*sorted(card["auroc"].items()), ("mean", card["mean_auroc"])]
    told = f"AUROC on anomalies made of {card['compared_records']:,} held-out normal records, on the same data."
    table = _table(("anomalies", *METHODS.values()), [(kind, *(found[m] for m in METHODS)) for kind, found in by_kind])
    warning = "Plain kNN finds them clearly better than this model." if card["is_beaten_by_knn"] else ""
    return [told, table, warning, *_realised(card["realised_rates"])]


def _realised(rates: Mapping[str, float]) -> list[str]:
    told = "False-positive rates on the later half of these records, at thresholds that the earlier half sets."
    rows = sorted(((float(rate), found) for rate, found in rates.items()), reverse=True)
    return [told, _table(("asked", "found"), rows)] if rows else []


def _champion(comparison: Mapping[str, Any]) -> list[str]:
    number, asked = comparison["champion_id"], comparison["rate"]
    champion = "no champion" if number is None else f"model {number}"
    told = "" if asked is None else f"The false-positive rate asked for is {asked:.2%}."
    table = _table(("on the same records", "this model", champion), comparison_rows(comparison))
    return [told, table, *map(plain, comparison["notes"])]


def _facts(rows: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {plain(shown(value))}" for name, value in rows.items() if value is not None)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *([plain(shown(value)) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
