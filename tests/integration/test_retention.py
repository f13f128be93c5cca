"""Old rows are deleted in small transactions, and nothing that is open, labelled or needed again."""

from datetime import timedelta

import pytest
from sqlalchemy import event, func, insert, select

from jobs.databases import reading, writing
from jobs.retention import limits_of, preview_pruning, prune
from jobs.scoring.rescoring import Window, rescore_monitor
from jobs.store.incident_notes import NewNote
from jobs.store.retention_limits import RetentionLimits
from schemas.config import Config
from schemas.errors import StoreError, UsageError
from schemas.tables import (
    alerts,
    anomalies,
    batch_hours,
    batch_profiles,
    batches,
    drift_features,
    drifts,
    events,
    incidents,
    models,
    retrain_requests,
    runs,
    scores,
    trackers,
    unreadable_records,
)
from tests.watched_table import MODEL, START, MonitoredTable

DAY = timedelta(days=1)


def limits(now, **changes):
    """Return limits of 40 days for rows, 20 for details and 10 for tracked thresholds."""
    given = {
        "monitor": "pump",
        "at": now,
        "keep_after": now - 40 * DAY,
        "details_after": now - 20 * DAY,
        "trackers_after": now - 10 * DAY,
        "flagged_after": None,
        "retired_models": 2,
        "drift_records": 20,
        "late_after": 7 * DAY,
        "max_batch_records": 30,
    }
    return RetentionLimits(**(given | changes))


@pytest.fixture
def table(store):
    return MonitoredTable(store)


@pytest.fixture
def old(table):
    """A monitor with eight batches of five records, scored 60 days ago; one record is flagged."""
    for first in range(1, 40, 5):
        table.put(*range(first, first + 5), value=9.0 if first == 11 else 1.0)
        table.score()
        table.wait(hours=1)
    table.wait(days=60)
    table.score()  # recounts what is due
    return table


def count(store, table, *conditions):
    with reading(store.engine) as connection:
        return connection.scalar(select(func.count()).select_from(table).where(*conditions))


def fill(store, table, *rows):
    with writing(store.engine) as connection:
        connection.execute(insert(table), list(rows))


def test_old_batches_are_merged_and_keep_counts_and_flagged_rows(old):
    before = (old.hours(), old.flagged(), sum(old.ledger("records")), old.store.runs.status("pump").watermark)
    preview = old.store.retention.preview(limits(old.now))
    deleted = old.store.retention.prune(limits(old.now))
    assert deleted == preview
    assert deleted["batches, merged into others"] == 5  # 30 of 35 records, and the newest batch stays as it is
    assert sorted(old.ledger("records")) == [5, 5, 30]
    assert (old.hours(), old.flagged(), sum(old.ledger("records"))) == before[:3]
    assert old.store.runs.status("pump").watermark == before[3]
    assert old.store.retention.prune(limits(old.now)) == {}


def test_changes_and_late_records_in_merged_batches_are_still_detected(old):
    old.store.retention.prune(limits(old.now))
    old.wait(days=10)
    assert old.score().too_late_records == 0
    old.remove(3)
    old.correct(7, value=2.0)
    old.wait(days=10)
    old.score()
    assert len(old.rows(events.c.kind, where=events.c.kind == "too_late")) == 1


def test_unreadable_records_of_merged_batches_are_still_checked(old):
    row = {"monitor": "pump", "batch_id": old.rows(batches.c.id)[2], "record_key": "[13]", "column_name": "flow"}
    fill(old.store, unreadable_records, row | {"reason": "holds ''", "found_at": old.now, "checked_at": old.now})
    old.store.retention.prune(limits(old.now))
    assert [item.key for item in old.store.unreadable.waiting("pump", 10)] == [(13,)]
    assert old.score().rescored == 1  # the record can be read again


def test_merged_batches_can_be_rescored(old):
    flagged, records = old.flagged(), sum(old.ledger("records"))
    old.store.retention.prune(limits(old.now))
    source = old.source()
    report = rescore_monitor(source, old.store, old.clock, Window(START - DAY, START + DAY), load=old.load)
    source.close()
    assert report.scoring.records == records
    assert old.flagged() == flagged


def test_a_batch_that_is_watched_or_unfinished_is_not_merged_though_it_is_old(table):
    for first in range(1, 40, 5):
        table.put(*range(first, first + 5))
        table.score()
    table.wait(days=60)  # nothing was served since, so every recount is due, and may reopen its batch
    assert not table.store.retention.prune(limits(table.now)).keys() & {"batches, merged into others", "scores"}
    assert len(table.ledger("id")) == 8


def test_scores_older_than_keep_are_deleted_and_newer_ones_stay(old):
    old.put(*range(41, 46))
    old.score()
    old.store.retention.prune(limits(old.now))
    assert old.rows(scores.c.record_key_int) == list(range(41, 46))
    assert count(old.store, batch_hours) > 0


def test_a_rescoring_after_pruning_starts_from_the_oldest_tracked_threshold_that_is_kept(old):
    ids, (model_id,) = old.ledger("id"), old.models
    states = [
        {
            "model_id": model_id,
            "entity": entity,
            "batch_id": batch_id,
            "state_before": {"t": n},
            "state_after": {"t": n + 1},
        }
        for entity in ("a", "b")
        for n, batch_id in enumerate(ids[:4] if entity == "b" else ids)
    ]
    fill(old.store, trackers, *states)
    old.store.retention.prune(limits(old.now, details_after=old.now - 100 * DAY))
    kept = old.rows(trackers.c.entity, trackers.c.batch_id)
    assert kept == [("a", ids[-2]), ("a", ids[-1]), ("b", ids[3])]
    source = old.source()
    old.store.recounting.reopen_window("pump", START - DAY, START + DAY)
    batch = old.store.ledger.claim("pump", model_id, old.now, DAY)
    source.close()
    assert batch.id == ids[0]
    assert old.store.threshold_states.before_batch(batch, "a") == {"t": 6}
    assert old.store.threshold_states.before_batch(batch, "new") is None


def test_the_tracked_threshold_of_a_silent_entity_survives_the_merging_of_its_batch(old):
    ids, (model_id,) = old.ledger("id"), old.models
    state = {"model_id": model_id, "entity": "silent", "state_before": {"t": 1}, "state_after": {"t": 2}}
    fill(old.store, trackers, state | {"batch_id": ids[2]}, state | {"batch_id": ids[3], "state_after": {"t": 3}})
    old.store.retention.prune(limits(old.now))
    assert old.rows(trackers.c.batch_id) == [ids[0]]
    old.put(99)
    old.store.ledger.plan("pump", old.source().next_range((40,), 5, None), old.now)
    batch = old.store.ledger.claim("pump", model_id, old.now, DAY)
    assert old.store.threshold_states.before_batch(batch, "silent") == {"t": 3}


def test_profiles_that_the_next_drift_assessment_compares_are_kept_however_old(old):
    ids, (model_id,) = old.ledger("id"), old.models
    profile = {"monitor": "pump", "model_id": model_id, "records": 5, "counts": {"flow": [5]}}
    fill(old.store, batch_profiles, *(profile | {"batch_id": batch_id} for batch_id in ids))
    old.store.retention.prune(limits(old.now))
    assert old.rows(batch_profiles.c.batch_id) == ids[-4:]
    assert old.store.drifts.next_window("pump", model_id, 20).records == 20


def test_old_runs_go_and_the_newest_of_each_kind_stays(store, now):
    run = {"monitor": "pump", "worker": None, "message": None}

    def add(days, kind, outcome, worker=None):
        started = now - days * DAY
        finished = None if outcome is None else started
        return run | {
            "kind": kind,
            "outcome": outcome,
            "started_at": started,
            "finished_at": finished,
            "worker": worker,
        }

    fill(
        store,
        runs,
        add(90, "train", "done"),
        add(80, "train", "failed"),
        add(79, "score", "done", "w"),
        add(70, "score", None),
        add(60, "score", "done"),
        add(30, "score", "failed"),
        add(25, "score", "done"),
        add(5, "score", "done"),
    )
    assert store.retention.prune(limits(now)) == {"runs": 2}
    ages = [(now - started) // DAY for started in rows(store, runs.c.started_at)]
    assert ages == [90, 80, 79, 70, 30, 5]
    assert store.runs.was_served("pump")


def rows(store, column):
    with reading(store.engine) as connection:
        return list(connection.scalars(select(column).order_by(column)))


def test_old_events_are_deleted_and_counted_and_ongoing_ones_stay(store, now):
    event = {"monitor": "pump", "message": "m", "since": None, "until": None, "at": now - 90 * DAY}
    fill(
        store,
        events,
        event | {"kind": "gap", "since": now - 90 * DAY},
        event | {"kind": "gap", "since": now - 90 * DAY, "until": now - 80 * DAY},
        event | {"kind": "late"},
        event | {"kind": "late", "at": now},
        event | {"kind": "config_refused", "monitor": None},
    )
    before = store.metrics.read(["pump"], now)
    assert store.retention.prune(limits(now)) == {"events": 2}
    assert store.retention.prune_service(now - 40 * DAY) == {"events": 1}
    assert count(store, events) == 2
    after = store.metrics.read(["pump"], now)
    assert (after.monitors["pump"].events, after.events) == (before.monitors["pump"].events, before.events)


def test_new_entities_of_the_champion_are_not_reported_again_after_pruning(store, now):
    first = now - 100 * DAY
    for days in (100, 60):
        store.models.add("pump", MODEL, now - days * DAY, promote=True)
    event = {"monitor": "pump", "kind": "new_entity", "message": "m"}
    fill(store, events, event | {"at": first + 20 * DAY}, event | {"at": now - 50 * DAY})
    store.retention.prune(limits(now))
    assert count(store, events, events.c.kind == "new_entity") == 1


def test_notes_of_an_incident_that_was_merged_into_a_present_one_stay(store, now):
    first = now - 90 * DAY
    incident = {"monitor": "pump", "start_time": first, "end_time": first, "peak_time": first, "peak_score": 1.0}
    incident |= {"peak_severity": 1.0, "records": 1, "causes": [], "opened_at": first, "updated_at": first}
    merged = incident | {"state": "merged", "merged_into": 1}
    fill(store, incidents, incident | {"id": 1, "state": "open"})
    fill(store, incidents, merged | {"id": 2}, merged | {"id": 3}, merged | {"id": 4, "merged_into": 9})
    for number in (2, 4):
        store.incident_notes.add(number, NewNote("acknowledge"), first, "ada")
    assert store.retention.prune(limits(now)) == {"incidents without records": 2, "notes": 1}
    assert store.incident_notes.handling([1])[1].acknowledged_by == "ada"


def test_old_alerts_requests_and_assessments_go_and_pending_ones_stay(store, now):
    first = now - 90 * DAY
    incident = {"monitor": "pump", "start_time": first, "end_time": first, "peak_time": first, "peak_score": 1.0}
    incident |= {"peak_severity": 1.0, "records": 1, "causes": [], "opened_at": first, "updated_at": first}
    fill(store, incidents, *(incident | {"id": n, "state": state} for n, state in ((1, "open"), (2, "ended"))))
    alert = {"monitor": "pump", "reason": "opened", "channel": "ops", "title": "t", "body": "b", "created_at": first}
    alert |= {"next_try_at": first, "state": "sent", "incident_id": None}
    fill(store, alerts, alert | {"incident_id": 1}, alert | {"incident_id": 2}, alert | {"state": "pending"})
    for reason in ("api", "api", "drift"):
        store.requests.add("pump", reason, first)
        store.requests.fail(store.requests.claim("pump", first, DAY), "no", first)
    store.requests.add("pump", "api", first)
    model_id = store.models.add("pump", MODEL, first, promote=True)
    drift = {"monitor": "pump", "model_id": model_id, "records": 9, "assessed_at": first, "ks_statistic": 0.1}
    drift |= {"ks_p_value": 0.5, "from_batch": 0}
    fill(store, drifts, *(drift | {"id": n, "upto_batch": n, "is_drift": n == 2} for n in (1, 2, 3, 4)))
    fill(store, drift_features, *({"drift_id": n, "feature": "flow", "psi": 0.1} for n in (1, 2)))
    deleted = store.retention.prune(limits(now))
    # The events are those of the promotion and of the failures.
    assert deleted == {"alerts": 1, "retrain requests": 2, "drift assessments": 2, "events": 4}
    assert rows(store, drifts.c.id) == [2, 4]
    assert count(store, drift_features) == 1
    assert rows(store, retrain_requests.c.state) == ["failed", "pending"]


def test_retired_models_and_challengers_beyond_the_number_kept_lose_their_artifact(old):
    store = old.store
    for days in range(5):
        store.models.add("pump", MODEL, old.now + days * DAY, promote=True)
        store.models.add("pump", MODEL, old.now + days * DAY, promote=False)
    now = old.now + 5 * DAY
    assert store.retention.prune(limits(now))["models"] == 6
    kept = store.models.all("pump")
    assert [model.state for model in kept if model.pruned_at is None].count("retired") == 2
    assert [model.state for model in kept].count("challenger") == 2
    assert [model.state for model in kept].count("champion") == 1
    (pruned,) = [model for model in kept if model.pruned_at is not None]  # the first scored the records
    assert (pruned.pruned_at, store.models.blob(pruned.id)) == (now, b"")
    with pytest.raises(UsageError, match="was deleted, as `store.keep_models` newer ones were retired"):
        store.models.promote(pruned.id, now)
    for _ in range(2):
        store.models.roll_back("pump", now)
    with pytest.raises(StoreError, match="no earlier champion"):
        store.models.roll_back("pump", now)


def test_flagged_rows_stay_unless_the_configuration_limits_them_and_labelled_ones_in_any_case(old):
    store = old.store
    assert count(store, anomalies) == 5
    store.retention.prune(limits(old.now))
    assert count(store, anomalies) == 5
    flagged = rows(store, anomalies.c.id)
    store.anomalies.label(flagged[0], "confirmed", old.now)
    incident_ids = rows(store, anomalies.c.incident_id)
    assert len(set(incident_ids)) == 1  # an incident is kept as a whole
    store.retention.prune(limits(old.now, flagged_after=old.now - DAY))
    assert count(store, anomalies) == 5
    with writing(store.engine) as connection:
        connection.execute(anomalies.update().values(label="open", labelled_at=None))
    deleted = store.retention.prune(limits(old.now + 2 * DAY, flagged_after=old.now + DAY))
    assert (deleted["flagged rows"], count(store, anomalies), count(store, incidents)) == (5, 0, 0)


def test_a_label_that_comes_just_before_the_deletion_of_its_row_keeps_the_incident(old):
    flagged, selected = rows(old.store, anomalies.c.id), []

    def note(_connection, _cursor, statement, *_):
        selected.extend([statement] if statement.startswith("SELECT anomalies.id") else [])

    def label(*_):
        if len(selected) == 1:
            selected.append("labelled")
            old.store.anomalies.label(flagged[0], "confirmed", old.now)

    event.listen(old.store.engine, "before_cursor_execute", note)
    event.listen(old.store.engine, "checkin", label)
    old.store.retention.prune(limits(old.now + 2 * DAY, flagged_after=old.now + DAY))
    assert selected[1] == "labelled"
    assert (count(old.store, anomalies), count(old.store, incidents)) == (5, 1)


def test_all_monitors_of_a_configuration_are_pruned_by_its_durations(old):
    monitor = {"table": "readings", "key": "id", "time": "read_at", "numeric": ["flow"]}
    config = Config(store={"keep": "5d", "keep_details": "3d"}, monitors={"pump": monitor | {"late_after": "18d"}})
    given = limits_of(config, "pump", old.now)
    assert old.now - given.keep_after == 21 * DAY  # what a rescoring may need, though less is configured
    assert given.keep_after == given.details_after == given.trackers_after
    before = preview_pruning(config, old.store, old.clock, config.monitors)
    assert before.deleted["pump"]["scores"] == 35
    assert prune(config, old.store, old.clock, config.monitors) == before
    assert preview_pruning(config, old.store, old.clock, config.monitors).rows == 0


def test_pruning_stops_between_two_transactions(old):
    deleted = old.store.retention.prune(limits(old.now), lambda: True)
    assert sum(deleted.values()) == 5  # the scores of one batch
    assert count(old.store, scores) == 35


def test_models_named_by_nothing_are_deleted(store, now):
    for days in range(4):
        store.models.add("pump", MODEL, now + days * DAY, promote=True)
    assert store.retention.prune(limits(now)) == {"models": 1}
    assert (count(store, models), count(store, batches)) == (3, 0)
