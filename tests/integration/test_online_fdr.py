"""Levels of discoveries in the store: moved once by each batch, in order, and never by a rescoring."""

from sqlalchemy import select

from jobs.databases import reading, writing
from jobs.evaluation import forecast_monitor
from schemas.tables import anomalies, trackers
from tests.integration.test_threshold_states import ALWAYS, forget

SETTINGS = {
    "series": None,
    "model": {"members": 1, "steps": 20},
    "flag": "online_fdr",
    "false_discovery_rate": 0.5,
    "fdr_memory": 100,
    "false_positive_rate": 0.05,
}


def flagged(mixer):
    """Return key, threshold and p-value of each flagged record."""
    c = anomalies.c
    with reading(mixer.store.engine) as connection:
        current = select(c.record_key_int, c.threshold, c.p_value).where(c.superseded_at.is_(None))
        return sorted(map(tuple, connection.execute(current)))


def states(mixer):
    """Return the states before and after each batch, in order."""
    c = trackers.c
    with reading(mixer.store.engine) as connection:
        rows = connection.execute(select(c.entity, c.state_before, c.state_after).order_by(c.batch_id)).all()
    assert {row.entity for row in rows} == {"all"}
    return [(row.state_before["earned"], row.state_after["earned"]) for row in rows]


def test_levels_follow_discoveries_whatever_the_batch_size_and_rescoring_moves_nothing(mixer):
    mixer.train(**SETTINGS)
    mixer.score(batch_size=1_600, **SETTINGS)
    whole, last = flagged(mixer), states(mixer)[-1][1]
    assert len({threshold for _, threshold, _ in whole}) > 1
    forget(mixer)
    mixer.score(batch_size=90, **SETTINGS)
    assert flagged(mixer) == whole
    moves = states(mixer)
    assert (moves[0][0], moves[-1][1]) == (0.0, last)
    assert [before for before, _ in moves[1:]] == [after for _, after in moves[:-1]]
    assert mixer.store.recounting.reopen_window("mixer", *ALWAYS) == len(moves)
    mixer.score(batch_size=90, **SETTINGS)
    assert (flagged(mixer), states(mixer)) == (whole, moves)
    with writing(mixer.store.engine) as connection:
        connection.exec_driver_sql("DELETE FROM trackers")
    forecast = forecast_monitor(mixer.source(batch_size=70, **SETTINGS), mixer.store)
    assert (forecast.decided_by, forecast.by_rate) == ("false_discovery_rate", {})
