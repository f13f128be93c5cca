"""The results of scoring, and their differences from an undisturbed run."""

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from sqlalchemy import func, select

from schemas.tables import alerts, anomalies, batch_hours, batches, incidents, scores

_MAX_SHOWN = 3
_REASONS = {
    "has become severe": "escalated",
    "has become worse": "worse",
    "now also": "new_cause",
    "normal again": "ended",
}
_DIGEST = re.compile(r"([\d,]+) alerts in one message$")
_KEYS = {"scores": 1, "anomalies": 1, "incidents": 2, "hours": 1}  # number of columns that identify a row


@dataclass(frozen=True)
class Outcome:
    """The results for a watched table in the store, as sorted lists."""

    scores: list
    """Key and score of every record."""
    anomalies: list
    """Current flagged rows."""
    incidents: list
    """Current incidents with their values."""
    hours: list
    """Records and anomalies in each hour."""


@dataclass(frozen=True)
class Difference:
    """The differences of two outcomes."""

    lost: int
    doubled: int
    different: int
    sentences: tuple[str, ...]


def read_outcome(connection, monitor):
    """Return the outcome of a monitor in the store."""
    return Outcome(
        scores=_rows(connection, _scores(monitor)),
        anomalies=_rows(connection, _anomalies(monitor)),
        incidents=_rows(connection, _incidents(monitor)),
        hours=_rows(connection, _hours(monitor)),
    )


def read_models(connection, monitor):
    """Return the model by which each record was scored, by its key."""
    columns = select(scores.c.record_key_int, scores.c.model_id).where(scores.c.monitor == monitor)
    return dict(connection.execute(columns).all())


def scores_by_model(outcomes, models):
    """Return the outcome of scores alone if each record was scored by its model.

    Args:
        outcomes: of undisturbed runs, by model.
        models: the model of each record, by its key; the first of the outcomes for further records.
    """
    rows = {model: {row[0]: row for row in outcome.scores} for model, outcome in outcomes.items()}
    first = next(iter(rows))
    chosen = (rows[models.get(key, first)][key] for key in rows[first])
    return Outcome(sorted(chosen, key=repr), [], [], [])


def compare(actual, expected):
    """Return the differences of an outcome from the outcome of an undisturbed run."""
    lost, doubled, different, sentences = 0, 0, 0, []
    for part, names in _KEYS.items():
        mine, theirs = (_by_key(getattr(outcome, part), names) for outcome in (actual, expected))
        lost += len(theirs.keys() - mine.keys())
        doubled += sum(len(rows) - 1 for rows in mine.values())
        wrong = [key for key, rows in mine.items() if rows[0] not in theirs.get(key, ())]
        different += len(wrong)
        sentences += _sentences(part, mine, theirs)
    return Difference(lost, doubled, different, tuple(sentences))


def _by_key(rows, names):
    """Group rows by their first values."""
    groups = defaultdict(list)
    for row in rows:
        groups[row[:names]].append(row)
    return groups


def _sentences(part, mine, theirs):
    differing = [key for key in {**theirs, **mine} if mine.get(key) != theirs.get(key)]
    shown = [f"{mine.get(key, [])} in place of {theirs.get(key, [])}" for key in differing[:_MAX_SHOWN]]
    return [f"{part}: {len(differing)} differ, such as {'; '.join(shown)}"] if differing else []


def broken_rules(connection, source, watched):
    """Return the broken rules of the ledger and the incidents of a monitor, as sentences.

    Args:
        connection: to the store.
        source: a connection to the database with the watched table.
        watched: the monitor.
    """
    name = watched.name
    ledger = select(batches).where(batches.c.monitor == name).order_by(batches.c.id)
    rows = connection.execute(ledger).mappings().all()
    records = source.scalar(select(func.count()).select_from(watched.table))
    standing = select(func.count()).where(anomalies.c.monitor == name, anomalies.c.superseded_at.is_(None))
    rules = {
        "every batch is done": (Counter(row["state"] for row in rows), {"done": len(rows)}),
        "the key ranges follow one another": (_after(rows), ["", *_upto(rows)[:-1]]),
        "no record is scored in two batches or none": (sum(row["records"] or 0 for row in rows), records),
        "batches count the anomalies": (sum(row["anomalies"] or 0 for row in rows), connection.scalar(standing)),
        "incidents count their records": (*_members(connection, name),),
    }
    return [f"{name}: {sentence}" for sentence in broken(rules)]


def wrong_alerts(connection, received):
    """Return the broken rules of the outbox, as sentences.

    Args:
        connection: to the store.
        received: messages that the channel received.
    """
    return broken(
        {
            "every incident was reported": (_unreported(connection), []),
            "no alert waits": (_waiting_alerts(connection), 0),
            "the channel received no alert more often than it was attempted": (
                wrong_deliveries(connection, received),
                [],
            ),
        }
    )


def broken(rules):
    """Return the rules whose two values differ, as sentences."""
    return [f"{rule}: found {actual}, expected {due}" for rule, (actual, due) in rules.items() if actual != due]


def _columns(table, names):
    return [table.c[name] for name in names.split()]


def _rows(connection, statement):
    return sorted(map(_plain, connection.execute(statement)), key=repr)


def _plain(row):
    """Return a row of hashable values; floats keep every bit."""
    return tuple(json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value for value in row)


def _scores(monitor):
    names = "record_key_int anomaly_score p_value is_anomaly entity"
    return select(*_columns(scores, names)).where(scores.c.monitor == monitor)


def _anomalies(monitor):
    names = "record_key record_time entity anomaly_score p_value severity threshold top_feature attribution"
    return select(*_columns(anomalies, names)).where(
        anomalies.c.monitor == monitor, anomalies.c.superseded_at.is_(None)
    )


def _incidents(monitor):
    # No two incidents share start and entity.
    c = incidents.c
    names = "end_time records peak_score peak_time peak_severity top_feature causes is_muted"
    return select(c.start_time, c.entity, *_columns(incidents, names)).where(c.monitor == monitor, _is_current())


def _is_current():
    return incidents.c.state.in_(["open", "ended"])


def _hours(monitor):
    c = batch_hours.c
    totals = (func.sum(c.records), func.sum(c.anomalies))
    return select(c.hour, *totals).where(c.monitor == monitor).group_by(c.hour)


def _after(rows):
    return [row["after_key"] for row in rows]


def _upto(rows):
    return [row["upto_key"] for row in rows]


def _members(connection, monitor):
    """Count current rows by incident: by the rows, and by the incidents."""
    c = anomalies.c
    is_current = (c.monitor == monitor) & c.superseded_at.is_(None)
    counted = select(c.incident_id, func.count()).where(is_current).group_by(c.incident_id)
    stated = select(incidents.c.id, incidents.c.records).where(incidents.c.monitor == monitor, _is_current())
    return tuple({row[0]: row[1] for row in connection.execute(counts)} for counts in (counted, stated))


def _unreported(connection):
    """Return current incidents without a sent alert, of their own or of an incident merged into them."""
    reported = set(connection.scalars(select(alerts.c.incident_id).where(alerts.c.state == "sent")))
    parts = select(incidents.c.id, func.coalesce(incidents.c.merged_into, incidents.c.id))
    covered = {whole for part, whole in connection.execute(parts) if part in reported}
    return sorted(set(connection.scalars(select(incidents.c.id).where(_is_current()))) - covered)


def _waiting_alerts(connection):
    waits = alerts.c.state != "sent"
    return connection.scalar(select(func.count()).select_from(alerts).where(waits))


def wrong_deliveries(connection, received):
    """Return incident alerts that the channel never received, or more often than they were attempted.

    The titles in a digest do not name their incidents, so its alerts are checked by their number. Alerts of one
    incident that waited for each other are one message, with the text of the newest.
    """
    titles = [_DIGEST.search(body["title"]) for body in received]
    digests = {int(title[1].replace(",", "")) for title in titles if title is not None}
    sent = connection.execute(select(alerts.c.token, alerts.c.incident_id, alerts.c.id)).all()
    sizes = Counter(row.token for row in sent)
    subjects = {token: len({row.incident_id for row in sent if row.token == token}) for token in sizes}
    newest = {row.token: row.id for row in sorted(sent, key=lambda row: row.id)}
    arrived = messages_by_alert(received)
    alone, lost = Counter(), []
    attempts = Counter()
    for row in connection.execute(select(alerts).where(alerts.c.incident_id.is_not(None)).order_by(alerts.c.id)):
        alert = (row.incident_id, row.reason)
        attempts[alert] += row.attempts
        if sizes[row.token] == 1 or subjects[row.token] == 1:
            alone[alert] += row.id == newest[row.token]
        elif sizes[row.token] not in digests:
            lost.append((*alert, row.attempts))
    wrong = [alert for alert in alone if not alone[alert] <= arrived[alert] <= attempts[alert]]
    return [*((*alert, attempts[alert]) for alert in wrong), *lost]


def messages_by_alert(received):
    """Count the messages by incident and reason."""
    messages = Counter()
    for body in received:
        number = re.search(r"incidents show (\d+)$", body["message"])
        if number is not None:
            reasons = (reason for words, reason in _REASONS.items() if words in body["title"])
            messages[int(number[1]), next(reasons, "opened")] += 1
    return messages
