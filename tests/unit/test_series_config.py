"""The configuration of a series monitor: invalid settings are refused with a reason."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from jobs.training.series_training import settings_of
from schemas.config import MonitorConfig
from schemas.series import SeriesConfig

MIXER = {"table": "mixer", "key": "id", "time": "at", "entity": "machine", "numeric": "torque", "label": "bad"}


def test_an_empty_section_makes_a_monitor_of_series_with_the_library_s_defaults():
    assert MonitorConfig(**MIXER).series is None
    settings = settings_of(MonitorConfig(**MIXER, series={}).series)
    assert settings == type(settings)()


def test_the_time_column_may_be_listed_as_timestamp_since_series_expect_values_by_it():
    monitor = MonitorConfig(
        **MIXER, timestamp="at", series={"calendar": True, "holidays": ["2026-12-25"]}, time_zone="Asia/Tokyo"
    )
    settings = settings_of(monitor.series, monitor.time_zone)
    assert monitor.features.names == ("torque",)
    assert (settings.calendar, settings.holidays, settings.time_zone) == (True, ("2026-12-25",), "Asia/Tokyo")


def test_a_gap_is_configured_as_a_duration_and_passed_in_seconds():
    assert settings_of(SeriesConfig(max_gap=timedelta(minutes=2), smoothing=(3,))).max_gap == 120


def test_signals_are_weighed_if_configured():
    settings = settings_of(SeriesConfig(select="auto", seed=3))
    assert (settings.select, settings.seed) == ("auto", 3)


def test_a_model_is_calibrated_on_the_configured_score():
    assert settings_of(SeriesConfig()).score == "fused"
    assert settings_of(SeriesConfig(network=True, score="elbo")).score == "elbo"


def test_its_threshold_follows_the_scores_unless_the_file_names_another():
    alone, series = MonitorConfig(**MIXER), MonitorConfig(**MIXER, series={})
    fixed = MonitorConfig(**MIXER, series={}, threshold="conformal")
    assert [monitor.threshold for monitor in (alone, series, fixed)] == ["conformal", "online", "conformal"]
    assert [monitor.is_in_order for monitor in (alone, series, fixed)] == [False, True, False]
    assert MonitorConfig.model_validate(fixed.model_dump()) == fixed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": None}, "series needs a time column"),
        ({"categorical": "mode"}, r"numeric and boolean features alone, so \['mode'\] cannot be among them"),
        ({"timestamp": "made"}, r"so \['made'\] cannot be among them"),
        ({"threshold": "pot"}, 'series needs threshold = "conformal" or "online", not "pot"'),
        ({"threshold": "f_beta"}, 'series needs threshold = "conformal" or "online", not "f_beta"'),
        ({"flag": "fdr"}, 'series needs flag = "rate"'),
        ({"holdout": "random"}, 'holdout cannot be "random"'),
        ({"numeric": ["torque", "at"]}, "the time and the entity of a series cannot be features"),
        ({"series": {"score": "elbo", "network": False}}, 'score = "elbo" needs network = true'),
        ({"series": {"max_gap": "0s"}}, "max_gap must be longer than 0"),
        ({"series": {"smoothing": []}}, "smoothing"),
        ({"series": {"smoothing": [1001]}}, "smoothing"),
    ],
)
def test_what_does_not_go_with_series_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        MonitorConfig(**(MIXER | {"series": {}} | changes))
