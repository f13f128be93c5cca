"""Weights of views: what tells synthetic anomalies counts, what does not counts less, and rules stay."""

import numpy as np
import pytest

from detector.series.fusion import Fusion
from detector.series.model import SeriesModel
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from detector.series.signal_weights import fit_signal_weights, learned_signals
from tests.machines import channels

SPANS = (2, 8)
RUN = np.random.default_rng(0).standard_normal((1500, 2))
NOISE = np.random.default_rng(1).standard_normal((1500, 1))


def said(run):
    """Five views: one that sees how far a record lies out, two that see noise, and two rules that nothing breaks."""
    far = np.abs(run).sum(axis=1, keepdims=True)
    return np.hstack([far, NOISE[: len(run)], NOISE[: len(run)], np.zeros((len(run), 2))])


def weights(run=RUN, start=1000, deviations=(1.0, 1.0), seed=0, views=said):
    fusion = Fusion.fit([views(run)[start:]], SPANS)
    return fit_signal_weights([(run, start)], views, np.array(deviations), fusion, seed)


def test_the_view_that_tells_anomalies_counts_in_full_and_noise_next_to_nothing():
    level, departure, forecast, *rules = weights()
    assert level == 1
    assert max(departure, forecast) < 0.25
    assert rules == [1, 1]


def test_the_same_seed_gives_the_same_weights_and_another_nearly_so():
    np.testing.assert_array_equal(weights(), weights())
    assert (weights() != weights(seed=1)).any()
    np.testing.assert_allclose(weights(), weights(seed=1), atol=0.15)


@pytest.mark.parametrize("changes", [{"start": 1450}, {"deviations": (0.0, 0.0)}])
def test_where_no_event_can_be_made_all_views_count_alike(changes):
    np.testing.assert_array_equal(weights(**changes), np.ones(5))


def test_where_no_view_tells_anything_all_count_alike():
    assert weights(views=lambda run: np.zeros((len(run), 5))).tolist() == [1, 1, 1, 1, 1]


def test_the_views_that_are_learned_are_known_by_name():
    assert learned_signals(5) == {0: "level", 1: "departure", 2: "forecast"}
    assert list(learned_signals(7).values()) == ["level", "departure", "forecast", "loss", "latent"]


def test_a_weight_below_one_lowers_alarms_and_nothing_else():
    views = said(RUN)
    plain = Fusion.fit([views], SPANS)
    alarms, lower = plain.alarms(views), plain.weighted(np.array([0.5, 1, 1, 1, 1])).alarms(views)
    is_alarm = alarms > 0
    is_alarm[:, :, 1:] = False
    assert is_alarm.any()
    np.testing.assert_array_equal(lower[~is_alarm], alarms[~is_alarm])
    np.testing.assert_array_equal(lower[is_alarm], 0.5 * alarms[is_alarm])


def test_a_model_weighs_its_views_only_where_asked():
    series = {"pump": Series(np.arange(1500), channels(1500, 0))}
    plain, weighing = (SeriesModel.fit(series, SeriesSettings(select=select)) for select in ("all", "auto"))
    assert plain.signal_weights("pump") is None
    found = weighing.signal_weights("pump")
    assert list(found) == ["level", "departure", "forecast"]
    assert max(found.values()) == 1
    assert min(found.values()) > 0.3
    assert (plain.scores("pump", series["pump"]) != weighing.scores("pump", series["pump"])).any()


def test_settings_are_stored_without_what_is_not_used():
    assert not {"select", "network", "seed"} & set(SeriesSettings().to_state())
    assert SeriesSettings(select="auto", seed=2).to_state()["seed"] == 2
    for settings in (SeriesSettings(), SeriesSettings(select="auto", seed=2), SeriesSettings(network=True)):
        assert SeriesSettings.from_state(settings.to_state()) == settings
