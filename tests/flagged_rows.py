"""Flagged rows of a monitor, written as scoring writes them, with their incidents."""

import itertools
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, update

from jobs.alert_messages import ALERT_TEXTS
from jobs.databases import reading, writing
from jobs.store import IncidentQuery
from jobs.store.alert_rule import AlertRule, IncidentRule
from jobs.store.incident_grouping import refresh_incidents
from schemas.tables import alerts, anomalies, batches

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GAP = 15 * MINUTE
RULE = IncidentRule(GAP, AlertRule(("ops",), severity=20, escalate_severity=80))


class FlaggedRows:
    """Flagged rows of a monitor, written as scoring writes them."""

    def __init__(self, store, monitor, now):
        self.store, self.monitor, self.now, self.rule = store, monitor, now, RULE
        self.keys = itertools.count()
        with writing(store.engine) as connection:
            model = connection.execute(select(anomalies.c.model_id)).scalar() or store.models.all()[0].id
            batch = {"monitor": monitor, "after_key": "", "upto_key": "[9]", "state": "done", "planned_at": now}
            batch_id = connection.execute(insert(batches).values(batch).returning(batches.c.id)).scalar_one()
        self.shared = {"monitor": monitor, "model_id": model, "batch_id": batch_id, "flagged_at": now}

    def add(self, *minutes, at=None, **what):
        self.write([self.row(START + minute * MINUTE, **what) for minute in minutes], at)

    def row(self, time, entity="pump-1", *, score=9.0, severity=50.0, share=5.0, feature="flow", **flags):
        cause = {"feature": feature, "share": share, "deviation": 2.0, "value": score, "expected": 1.0}
        numbers = {"anomaly_score": score, "severity": severity, "p_value": 0.01, "threshold": 4.0}
        what = {"record_key": str(next(self.keys)), "record_time": time, "entity": entity}
        flags = {"is_muted": flags.get("muted", False), "held_back": flags.get("held_back")}
        return self.shared | numbers | what | flags | {"top_feature": feature, "attribution": [cause]}

    def write(self, rows, at=None):
        changed = [(row["entity"], row["record_time"] or self.now) for row in rows]
        with writing(self.store.engine) as connection:
            connection.execute(insert(anomalies), rows)
            self.refresh(connection, changed, at)

    def change(self, row, *, at=None, **values):
        """Change a row in place; its earlier entity and time count as changed too."""
        c = anomalies.c
        is_row = (c.monitor == self.monitor, c.record_key == row["record_key"])
        with writing(self.store.engine) as connection:
            connection.execute(update(anomalies).where(*is_row).values(values))
            changed = [(one["entity"], one["record_time"] or self.now) for one in (row, row | values)]
            self.refresh(connection, changed, at)

    def refresh(self, connection, changed, at=None):
        by_entity = defaultdict(list)
        for entity, time in changed:
            by_entity[entity].append(time)
        refresh_incidents(connection, self.monitor, by_entity, self.rule, ALERT_TEXTS, at or self.now)

    def use(self, **settings):
        """Change settings of the alerts."""
        self.rule = replace(self.rule, alerts=replace(self.rule.alerts, **settings))

    def follow_up(self, minute):
        return self.store.incidents.follow_up(self.monitor, self.rule, START + minute * MINUTE)

    def incidents(self, **filters):
        return self.store.incidents.page(IncidentQuery(self.monitor, **filters))

    def spans(self):
        """Start, end and number of records of each current incident, in minutes."""
        spans = [
            ((i.start_time - START) // MINUTE, (i.end_time - START) // MINUTE, i.records) for i in self.incidents()
        ]
        return sorted(spans)

    def stored(self):
        c = anomalies.c
        with reading(self.store.engine) as connection:
            ordered = select(anomalies).where(c.monitor == self.monitor).order_by(c.id)
            return [dict(row) for row in connection.execute(ordered).mappings()]

    def alerted(self):
        c = alerts.c
        statement = select(c.incident_id, c.reason, c.channel).where(c.monitor == self.monitor).order_by(c.id)
        with reading(self.store.engine) as connection:
            return [tuple(row) for row in connection.execute(statement)]

    def titles(self):
        with reading(self.store.engine) as connection:
            return list(connection.scalars(select(alerts.c.title).order_by(alerts.c.id)))
