from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from detector.core.drift import P_VALUE_BINS, Profile
from detector.records.latent_map import LatentMap
from jobs.api.pages.charts import HEIGHT, WIDTH, chart
from jobs.api.pages.model import calibration_chart, drift_table
from jobs.store.history import StoredDrift
from tests.api_service import trained
from tests.samples import make_records

AT = datetime(2026, 3, 1, tzinfo=UTC)


def drift(days, **psi):
    return StoredDrift(days, 1, AT + timedelta(days=days), 1000, 0.1, is_drift=False, psi=psi)


def places(line):
    return [tuple(map(float, place.split(","))) for place in line.places.split()]


def test_drift_is_shown_by_feature_over_time_with_the_most_moved_first():
    table = drift_table([drift(2, flow=0.1, load=0.3), drift(1, flow=0.9)])
    assert [at.day for at in table.assessed_at] == [2, 3]
    assert [(row.feature, row.indexes) for row in table.features] == [("flow", [0.9, 0.1]), ("load", [None, 0.3])]
    assert drift_table([]) is None


def test_the_calibration_line_is_above_the_ideal_if_small_p_values_are_too_many():
    profile = Profile.model_construct(features={}, p_values=(5,) * P_VALUE_BINS)
    drawn = calibration_chart(profile, [30] + [10] * (P_VALUE_BINS - 1))
    ideal, found = (places(line) for line in drawn.lines)
    assert found[0] == ideal[0]
    assert found[-1] == ideal[-1]
    x, y = found[1]
    share = 30 / (30 + 10 * (P_VALUE_BINS - 1))
    assert x == pytest.approx(WIDTH / P_VALUE_BINS)
    assert (ideal[0][1] - y) / (ideal[0][1] - ideal[1][1]) == pytest.approx(share, abs=0.001)
    assert calibration_chart(profile, [0] * P_VALUE_BINS) is None


def test_a_line_fills_the_chart_and_values_that_are_not_finite_are_left_out():
    (line,) = chart([("a", "measured", [(1, 5.0), (2, float("nan")), (3, 7.0)]), ("b", "known", [])]).lines
    (left, low), (right, high) = places(line)
    assert (left, right) == (0, WIDTH)
    assert 0 < high < low < HEIGHT
    assert chart([("a", "measured", [(1, 5.0)])]) is None


def test_a_map_is_in_standard_deviations_of_the_reference_and_its_directions_are_perpendicular():
    model = trained().model
    drawn = LatentMap.of(model)
    assert np.allclose(drawn.reference.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(drawn.reference.std(axis=0), 1)
    assert abs(np.corrcoef(drawn.reference.T)[0, 1]) < 1e-6
    own = drawn.coordinates(model, make_records(600).iloc[:400])
    assert np.allclose(own, drawn.reference, atol=1e-3)
