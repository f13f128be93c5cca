"""Records are ranked by score against threshold, whatever the sign of the threshold."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from jobs.ranking import Span, _excess


def excess(scores, thresholds, p_values=None):
    scored = pd.DataFrame({"anomaly_score": scores, "p_value": p_values or np.full(len(scores), 0.5)})
    return _excess(scored, np.array(thresholds)).tolist()


def test_a_record_is_above_1_exactly_if_its_score_is_above_its_threshold():
    scores, thresholds = [3.0, 2.0, -1.0, -3.0, 0.5, 1e300], [1.5, 2.0, -2.0, -2.0, 0.0, 1e-300]
    ranked = excess(scores, thresholds)
    assert [rank > 1 for rank in ranked] == [score > limit for score, limit in zip(scores, thresholds, strict=True)]
    assert ranked[0] == 2.0
    assert np.isfinite(ranked).all()


def test_records_of_which_nothing_can_be_flagged_come_last_in_order_of_their_p_values():
    ranked = excess([9.0, 8.0, 0.1], [np.inf, np.inf, 1.0], [0.5, 0.01, 0.9])
    assert np.argsort(ranked).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("since", "until", "count"), [(None, None, 4), (1, None, 2), (None, 1, 1), (1, 2, 1)])
def test_a_span_has_its_start_and_not_its_end_nor_records_without_a_time(since, until, count):
    times = pd.Series(pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03", None], utc=True))
    bounds = [None if day is None else times[day].to_pydatetime() for day in (since, until)]
    assert all(bound is None or isinstance(bound, datetime) for bound in bounds)
    assert Span(*bounds).contains(times).sum() == count
