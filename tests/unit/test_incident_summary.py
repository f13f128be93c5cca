"""Flagged records have the same summary in any order and grouping."""

from datetime import UTC, datetime, timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from jobs.store.incident_summary import IncidentSummary, merge_nearby, summary_of_record

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def cause(feature, share, value=1.0, *, is_return=False):
    fields = {"feature": feature, "share": share, "deviation": 2.0, "value": value, "expected": 0.0}
    return fields | {"is_return": True} if is_return else fields


def record(minute, score=9.0, severity=50.0, causes=(), *, entity="pump-1", muted=False):
    return summary_of_record(entity, START + minute * MINUTE, score, severity, causes, muted)


features = st.sampled_from([f"f{n}" for n in range(14)])
shares, values = st.none() | st.integers(0, 3).map(float), st.sampled_from([1.0, "x", None])
causes = st.lists(st.builds(cause, features, shares, values, is_return=st.booleans()), max_size=6)
faults = st.lists(st.builds(cause, features, shares, values), max_size=6)
levels = st.integers(1, 3).map(float)
minutes = st.integers(0, 9)
records = st.lists(st.builds(record, minutes, levels, levels, causes, muted=st.booleans()), min_size=2)


@given(records, st.randoms(use_true_random=False), st.data())
def test_the_sum_depends_on_neither_order_nor_grouping(summaries, random, data):
    whole = reduce(IncidentSummary.merged, summaries)
    shuffled = random.sample(summaries, len(summaries))
    cut = data.draw(st.integers(1, len(summaries) - 1))
    assert (
        reduce(IncidentSummary.merged, shuffled[:cut]).merged(reduce(IncidentSummary.merged, shuffled[cut:])) == whole
    )


@given(st.lists(st.builds(record, minutes, levels, levels, faults), min_size=2))
def test_the_causes_are_the_largest_share_of_each_feature(summaries):
    whole = reduce(IncidentSummary.merged, summaries)
    largest = {}
    for one in (c for summary in summaries for c in summary.causes if c["share"] is not None):
        largest[one["feature"]] = max(largest.get(one["feature"], 0.0), one["share"])
    shown = [(c["feature"], c["share"]) for c in whole.causes if c["share"] is not None]
    assert dict(shown).items() <= largest.items()
    assert [share for _, share in shown] == sorted(largest.values(), reverse=True)[:10]


def test_a_return_to_normal_represents_a_feature_only_if_nothing_else_does():
    surge, back = record(0, causes=[cause("flow", 1.0, 9.0)]), cause("flow", 5.0, 1.0, is_return=True)
    whole = surge.merged(record(1, causes=[back, cause("load", 2.0, 3.0, is_return=True)]))
    assert [(c["feature"], c["value"]) for c in whole.causes] == [("load", 3.0), ("flow", 9.0)]


def test_causes_with_evidence_are_compared_by_it():
    weak = record(0, causes=[cause("load", 3.0) | {"evidence": 9.0}])
    whole = weak.merged(record(1, causes=[cause("flow", 2.0) | {"evidence": 40.0}]))
    assert [(c["feature"], c["share"]) for c in whole.causes] == [("flow", 40.0), ("load", 9.0)]
    assert "evidence" not in whole.causes[0]


def test_equal_shares_at_the_same_time_are_ordered_in_any_order():
    one, other = (record(0, causes=[cause("flow", 1.0, value)]) for value in ("a", "b"))
    assert one.merged(other) == other.merged(one)


def test_the_first_record_with_the_peak_score_is_the_peak():
    whole = reduce(IncidentSummary.merged, [record(3, 9.0, 20.0), record(1, 9.0, 10.0), record(2, 5.0, 90.0)])
    assert (whole.peak_score, whole.peak_time, whole.peak_severity) == (9.0, START + MINUTE, 90.0)
    assert (whole.start_time, whole.end_time, whole.records) == (START + MINUTE, START + 3 * MINUTE, 3)


def test_an_incident_is_muted_if_every_record_is():
    muted, loud = record(1, muted=True), record(2)
    assert muted.merged(muted).is_muted
    assert not muted.merged(loud).is_muted


def test_records_as_far_apart_as_the_gap_belong_together_and_entities_do_not():
    summaries = merge_nearby(
        [record(0), record(1, entity="pump-2"), record(15), record(31), record(60, entity=None)], 15 * MINUTE
    )
    spans = [(summary.entity, summary.records, (summary.end_time - START) // MINUTE) for summary in summaries]
    assert spans == [("pump-1", 2, 15), ("pump-2", 1, 1), ("pump-1", 1, 31), (None, 1, 60)]
    assert merge_nearby([], MINUTE) == []


def test_the_top_feature_has_the_largest_share():
    assert record(0, causes=[cause("flow", 1.0), cause("mode", None), cause("load", 2.0)]).top_feature == "load"
    assert record(0).top_feature is None
