"""A monitor on a grid of time from its table to flagged records: each cell is scored once, whenever its rows come."""

from datetime import timedelta

import pandas as pd
import pytest
from sqlalchemy import select

from jobs.champions import Scorers
from jobs.databases import reading, writing
from jobs.evaluation import evaluate_monitor
from schemas.errors import ArtifactError
from schemas.tables import anomalies, scores
from tests.machines import START
from tests.series_monitor import readings

GRID = {"series": {"resample": "4m"}}  # of readings that come once a minute
ALL = pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2027-01-01", tz="UTC")


def score(mixer, minutes, **changes):
    mixer.now = START + timedelta(minutes=minutes)
    return mixer.score(**(GRID | changes))


def stored(mixer):
    """Return time, entity, key, score and flag of every record."""
    c = scores.c
    statement = select(c.record_time, c.entity, c.record_key_int, c.anomaly_score, c.is_anomaly)
    with reading(mixer.store.engine) as connection:
        return connection.execute(statement.order_by(c.record_key_int)).all()


def score_again(mixer, **changes):
    """Rescore the whole table."""
    mixer.store.recounting.reopen_window("mixer", *ALL)
    with writing(mixer.store.engine) as connection:
        connection.exec_driver_sql("DELETE FROM scores")
    return score(mixer, 900, **changes)


def test_it_is_trained_scored_and_evaluated_on_cells(mixer):
    report = mixer.train(**GRID)
    assert (report.card.training_records, report.card.own_models) == (300, 0)
    assert score(mixer, 800).records == 400
    assert {row.record_time.minute % 4 for row in stored(mixer)} == {0}
    evaluation = evaluate_monitor(mixer.source(**GRID), mixer.store).evaluation
    assert (evaluation.records, evaluation.anomalies) == (100, 10)
    assert evaluation.auroc > 0.8


def test_a_flagged_record_names_a_row_of_the_table(mixer):
    mixer.train(**GRID)
    assert score(mixer, 800, false_positive_rate=0.05).anomalies > 5
    frame = readings().set_index("id")
    with reading(mixer.store.engine) as connection:
        for row in connection.execute(select(anomalies)).all():
            reading_then = frame.loc[row.record_key_int]
            assert reading_then["machine"] == row.entity
            assert timedelta(0) < row.record_time - reading_then["read_at"] <= timedelta(minutes=4)


def test_scores_do_not_depend_on_the_batch_size(mixer):
    mixer.train(**GRID)
    score(mixer, 800, batch_size=700)
    records = stored(mixer)
    for batch_size in (41, 170):
        score_again(mixer, batch_size=batch_size)
        assert stored(mixer) == records


def arriving():
    """The readings in the order in which they come, those of the last hours partly late; and when they do."""
    frame = readings()
    minutes = ((frame["id"] % 97 == 0) * 30 + (frame["id"] % 31 == 0) * 3).where(frame["id"] > 1300, 0)
    arrives_at = (frame["read_at"] + pd.to_timedelta(minutes, unit="min")).sort_values(kind="stable")
    frame = frame.loc[arrives_at.index].reset_index(drop=True)
    return frame.assign(id=frame.index + 1), arrives_at.reset_index(drop=True)


def test_scores_given_while_records_arrive_are_those_given_afterwards(mixer):
    frame, arrives_at = arriving()
    mixer.fill(frame[:1300], if_exists="replace")
    mixer.train(**GRID)
    for minute, new in frame[1300:].groupby((arrives_at - START) // pd.Timedelta("15min")):
        mixer.fill(new, if_exists="append")
        score(mixer, 15 * minute + 15)
    score(mixer, 10_000)
    records = stored(mixer)
    assert len(records) == 400
    score_again(mixer)
    assert stored(mixer) == records


def test_a_reading_that_comes_late_has_its_cell_scored_again_once(mixer):
    late = readings().query("id == 1400")
    mixer.fill(readings().query("id != 1400"), if_exists="replace")
    mixer.train(**GRID)
    score(mixer, 800)
    before = {(row.record_time, row.entity): row for row in stored(mixer)}
    mixer.fill(late.assign(id=1601), if_exists="append")
    score(mixer, 1000)
    after = stored(mixer)
    cell = (late["read_at"].iloc[0].floor("4min") + timedelta(minutes=4), late["machine"].iloc[0])
    assert len(after) == len({(row.record_time, row.entity) for row in after}) == 400
    changed = [row for row in after if before[row.record_time, row.entity] != row]
    assert [(row.record_time, row.entity, row.record_key_int) for row in changed] == [(*cell, 1601)]
    assert score(mixer, 2000).batches == 0


def test_no_cell_is_scored_before_it_is_over(mixer):
    mixer.train(**GRID)
    score(mixer, 402)
    assert max(row.record_time for row in stored(mixer)) == START + timedelta(minutes=400)
    score(mixer, 405, settle="2m")
    assert len(stored(mixer)) == 200
    score(mixer, 406, settle="2m")
    assert len(stored(mixer)) == 202


def test_a_model_of_another_grid_is_not_scored_with(mixer):
    mixer.train(**GRID)
    other = {"series": {"resample": "4m", "resample_by": "last"}}
    with pytest.raises(ArtifactError, match=r"on a grid of 240 s \(mean\), and .* on a grid of 240 s \(last\)"):
        score(mixer, 800, **other)
    with pytest.raises(ArtifactError, match="has them as they come. Train it again"):
        score(mixer, 800, series={})
    kept = Scorers()
    champion = mixer.store.models.champion("mixer")
    kept.load(mixer.store, champion, mixer.source(**GRID).monitor)
    with pytest.raises(ArtifactError, match="Train it again"):
        kept.load(mixer.store, champion, mixer.source(**other).monitor)
    report = mixer.train("if_better", **other)
    assert report.is_champion
    assert score(mixer, 800, **other).records == 400
