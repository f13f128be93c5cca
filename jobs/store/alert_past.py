"""The past of incidents that are alerted: earlier alerts, labels and acknowledgements, read for many at once.

Alerts and acknowledgements of an incident that was merged into another count for the other.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, func, select

from jobs.store.alert_rule import SentAlert
from jobs.store.chunks import chunks
from schemas.tables import alerts, anomalies, incident_notes, incidents

SentAlerts = Mapping[int, Mapping[str, list[SentAlert]]]
"""The alerts of incidents by incident and channel, oldest first."""


def sent_alerts(connection: Connection, incident_ids: Collection[int], channels: Collection[str]) -> SentAlerts:
    """Return the alerts of incidents to some channels; each incident and channel has a list, which may be empty."""
    sent: dict[int, dict[str, list[SentAlert]]] = {
        incident_id: {channel: [] for channel in channels} for incident_id in incident_ids
    }
    if not channels:
        return sent
    a = alerts.c
    columns = (a.incident_id, a.channel, a.reason, a.created_at, a.peak_severity, a.peak_score, a.causes)
    owners = owners_of(connection, incident_ids)
    rows = [
        row
        for ids in chunks(sorted(owners))
        for row in connection.execute(select(a.id, *columns).where(a.incident_id.in_(ids), a.channel.in_(channels)))
    ]
    for _, incident_id, *alert in sorted(rows, key=lambda row: row.id):
        sent[owners[incident_id]][alert[0]].append(SentAlert(*alert))
    return sent


def owners_of(connection: Connection, incident_ids: Collection[int]) -> dict[int, int]:
    """Return the incident that each of the incidents, and each one that was merged into them, counts for."""
    c = incidents.c
    owners = {incident_id: incident_id for incident_id in incident_ids}
    for ids in chunks(sorted(incident_ids)):
        merged = connection.execute(select(c.id, c.merged_into).where(c.merged_into.in_(ids)))
        owners |= {row.id: row.merged_into for row in merged}
    return owners


def dismissed(connection: Connection, incident_ids: Collection[int]) -> set[int]:
    """Return the incidents that people labelled as false alarms: all records that they held at that time."""
    c = anomalies.c
    found: set[int] = set()
    for ids in chunks(sorted(incident_ids)):
        of_incidents = select(c.incident_id).where(c.incident_id.in_(ids), c.superseded_at.is_(None))
        grouped = of_incidents.group_by(c.incident_id)
        is_false = c.label == "false_positive"
        last = grouped.where(is_false, c.labelled_at.is_not(None)).add_columns(func.max(c.labelled_at))
        others = grouped.where(~is_false).add_columns(func.min(c.flagged_at))
        first_other = {row[0]: row[1] for row in connection.execute(others)}
        found |= {
            incident_id
            for incident_id, labelled_at in connection.execute(last)
            if incident_id not in first_other or first_other[incident_id] > labelled_at
        }
    return found


def acknowledged(connection: Connection, incident_ids: Collection[int]) -> set[int]:
    """Return the incidents that a person has acknowledged."""
    c = incident_notes.c
    owners = owners_of(connection, incident_ids)
    found: set[int] = set()
    for ids in chunks(sorted(owners)):
        noted = connection.scalars(select(c.incident_id).where(c.incident_id.in_(ids), c.kind == "acknowledge"))
        found |= {owners[incident_id] for incident_id in noted}
    return found


def summed_up(connection: Connection, incident_ids: Collection[int]) -> set[int]:
    """Return the incidents into which one was merged that an event has summed up."""
    c = incidents.c
    found: set[int] = set()
    for ids in chunks(sorted(incident_ids)):
        found |= set(
            connection.scalars(select(c.merged_into).where(c.merged_into.in_(ids), c.not_announced == "summed"))
        )
    return found


def confirmed_rows(connection: Connection, incident_id: int) -> set[int]:
    """Return the confirmed rows of an incident."""
    c = anomalies.c
    return set(connection.scalars(select(c.id).where(c.incident_id == incident_id, c.label == "confirmed")))
