"""Weights of signals: a signal that detects synthetic anomalies counts, other signals count less, rules stay."""

import numpy as np
import pytest

from detector.series.fusion import Fusion
from detector.series.model import SeriesModel
from detector.series.series import Series
from detector.series.settings import SeriesSettings
from detector.series.signal_weights import TOTAL_FACTOR, fit_added_factors, fit_signal_weights, learned_signals
from detector.series.signals import signal_names
from tests.machines import channels

SPANS = (2, 8)
RUN = np.random.default_rng(0).standard_normal((1500, 2))


def noise_of(run):
    """Return numbers (n, 1) that differ from record to record as if by chance."""
    return np.sin(1e5 * run[:, :1] + 1e4 * run[:, 1:2])


def measure(run):
    """Return five signals: the size of a record, twice noise, and two rules that no record breaks."""
    size = np.abs(run).sum(axis=1, keepdims=True)
    noise = noise_of(run)
    return np.hstack([size, noise, noise, np.zeros((len(run), 2))])


def weights(run=RUN, start=1000, deviations=(1.0, 1.0), seed=0, measure=measure):
    fusion = Fusion.fit([measure(run)[start:]], SPANS)
    records = Series(np.arange(len(run)), run)
    return fit_signal_weights(
        [(records, start)], lambda series, first: measure(series.values)[first:], np.array(deviations), fusion, seed
    )


def test_the_signal_that_detects_anomalies_counts_in_full_and_noise_next_to_nothing():
    level, departure, forecast, *rules = weights()
    assert level == 1
    assert max(departure, forecast) < 0.25
    assert rules == [1, 1]


def test_the_same_seed_gives_the_same_weights_and_another_nearly_so():
    np.testing.assert_array_equal(weights(), weights())
    assert (weights() != weights(seed=1)).any()
    np.testing.assert_allclose(weights(), weights(seed=1), atol=0.15)


@pytest.mark.parametrize("changes", [{"start": 1450}, {"deviations": (0.0, 0.0)}])
def test_without_events_all_signals_count_alike(changes):
    np.testing.assert_array_equal(weights(**changes), np.ones(5))


def test_if_no_signal_detects_anything_all_count_alike():
    assert weights(measure=lambda run: np.zeros((len(run), 5))).tolist() == [1, 1, 1, 1, 1]


def with_network(kind):
    """Return a measure whose last two signals are a network's.

    A "useful" one detects what no other signal does, a "similar" one nearly what all of them do, and a "useless" one
    nothing.
    """

    def measure_all(run):
        size = np.abs(run).sum(axis=1, keepdims=True)
        noise = noise_of(run)
        of_network = {"useful": size, "similar": size + 1.2 * noise, "useless": noise}[kind]
        own = noise if kind == "useful" else size
        return np.hstack([own, own, own, np.zeros((len(run), 3)), of_network, of_network])

    return lambda series, first=0: measure_all(series.values)[first:]


@pytest.mark.parametrize(
    ("kind", "start", "of_network"),
    [
        ("useful", 1000, [0.5, 0.25]),
        ("similar", 1000, [0.5, 0.25]),
        ("useless", 1000, [0, 0]),
        ("useful", 1350, [0, 0]),
    ],
)
def test_a_network_counts_if_it_does_not_harm_the_detection_of_events_in_enough_records(kind, start, of_network):
    measure_all, records = with_network(kind), Series(np.arange(len(RUN)), RUN)
    fusion = Fusion.fit([measure_all(records)[start:]], SPANS)
    factors = fit_added_factors([(records, start)], measure_all, np.ones(2), fusion, 0, [TOTAL_FACTOR])
    assert factors.tolist() == [TOTAL_FACTOR, *of_network]


def test_alarms_of_a_network_are_added_and_take_no_place_among_the_two_largest():
    measure_all = with_network("useful")
    signals = measure_all(Series(np.arange(len(RUN)), RUN))
    fusion = Fusion.fit([signals], SPANS)
    without, half = (fusion.adding(np.array([factor, 0.0])).scores(signals) for factor in (0.0, 0.5))
    np.testing.assert_array_equal(without, Fusion.fit([signals[:, :6]], SPANS).scores(signals[:, :6]))
    loss = np.maximum(fusion.alarms(signals)[:, :, 6], 0).max(axis=0)
    np.testing.assert_array_equal(half, without + 0.5 * loss)
    assert fusion.adding(np.array([0.5, 0.0])).factors.tolist() == [1, 1, 1, 1, 1, 1, 0.5, 0]


def test_learned_signals_have_names():
    names = signal_names(has_relation=True, has_dispersion=True, has_calendar=True, has_network=True, has_total=True)
    assert list(learned_signals(names[:5])) == [0, 1, 2]
    assert [*learned_signals(names).values()][2:] == [
        "forecast",
        "relation",
        "dispersion",
        "calendar",
        "loss",
        "latent",
    ]


def test_a_weight_below_one_lowers_alarms_and_nothing_else():
    signals = measure(RUN)
    plain = Fusion.fit([signals], SPANS)
    alarms, lower = plain.alarms(signals), plain.weighted(np.array([0.5, 1, 1, 1, 1])).alarms(signals)
    is_alarm = alarms > 0
    is_alarm[:, :, 1:] = False
    assert is_alarm.any()
    np.testing.assert_array_equal(lower[~is_alarm], alarms[~is_alarm])
    np.testing.assert_array_equal(lower[is_alarm], 0.5 * alarms[is_alarm])


def test_a_model_weighs_its_signals_only_if_configured():
    series = {"pump": Series(np.arange(1500), channels(1500, 0))}
    plain, weighing = (
        SeriesModel.fit(series, SeriesSettings(select=select, network=False)) for select in ("all", "auto")
    )
    assert plain.signal_weights("pump") is None
    weights = weighing.signal_weights("pump")
    assert list(weights) == ["level", "departure", "forecast", "relation", "dispersion"]
    assert max(weights.values()) == 1
    assert weights.pop("dispersion") < 0.3  # few of the events change how much a channel varies for long
    assert min(weights.values()) > 0.3
    assert (plain.scores("pump", series["pump"]) != weighing.scores("pump", series["pump"])).any()


def test_settings_without_effect_are_not_stored():
    assert not {"select", "network", "seed"} & set(SeriesSettings(network=False).to_state())
    assert SeriesSettings(select="auto", network=False, seed=2).to_state()["seed"] == 2
    for settings in (SeriesSettings(), SeriesSettings(select="auto", seed=2), SeriesSettings(network=False)):
        assert SeriesSettings.from_state(settings.to_state()) == settings
