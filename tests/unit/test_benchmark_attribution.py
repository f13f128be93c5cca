"""The attribution benchmark changes one feature at a time and counts first causes."""

import pandas as pd

from benchmarks.attribution import (
    DEVIATIONS,
    MODES,
    SWAPPED,
    UNSEEN,
    HitRate,
    changes,
    combined,
    correlated,
    main,
    odd_combinations,
    summary,
    uncorrelated,
)


def test_each_change_touches_one_feature_of_every_record():
    normal, fresh = uncorrelated(300, seed=0), uncorrelated(20, seed=1)
    made = list(changes(normal, fresh, ("mode",)))
    assert len(made) == 6 * len(DEVIATIONS) * 2 + 2
    for _, features, changed in made:
        assert len(features) == 1
        assert_only_changed(features, changed, fresh)


def assert_only_changed(features, changed, fresh):
    is_changed = changed != fresh
    assert is_changed[features].all(axis=None)
    assert not is_changed.drop(columns=features).any(axis=None)


def test_an_odd_combination_stays_within_the_range_of_each_feature():
    normal, fresh = combined(1000, seed=0), combined(50, seed=1)
    for _, features, changed in odd_combinations(fresh):
        assert (changed != fresh)[features].any(axis=1).all()
        assert (changed.drop(columns=features) == fresh.drop(columns=features)).all(axis=None)
        is_within = (changed[features] >= normal[features].min()) & (changed[features] <= normal[features].max())
        assert is_within.mean().min() > 0.95
    pairs = set(zip(normal["mode"], normal["valve"], strict=True))
    assert not pairs & set(zip(changed["mode"], changed["valve"], strict=True))


def test_a_swapped_category_stays_among_the_categories_of_training():
    normal, fresh = correlated(300, seed=0), correlated(20, seed=1)
    made = {change: changed for change, _, changed in changes(normal, fresh, ("mode",))}
    assert set(made[SWAPPED]["mode"]) <= set(MODES)
    assert set(made[UNSEEN]["mode"]) == {"never seen"}


def test_a_number_moves_by_standard_deviations_of_the_normal_records():
    normal = pd.DataFrame({"x": [0.0, 10.0, 20.0], "flag": [0.0, 1.0, 1.0]})
    made = list(changes(normal, normal.head(1), ()))
    assert [float(changed["x"].iloc[0]) for _, _, changed in made] == [-30.0, 30.0, -60.0, 60.0, -100.0, 100.0]


def test_the_summary_means_over_real_tables_only():
    hit_rates = [HitRate("correlated plant", "moved", 0.1), HitRate("a", "moved", 0.5), HitRate("b", "moved", 1.0)]
    lines = summary(hit_rates).splitlines()
    assert lines[2:] == [
        "| correlated plant | 10.0% |",
        "| a | 50.0% |",
        "| b | 100.0% |",
        "| mean of the real tables | 75.0% |",
        "| median of the real tables | 75.0% |",
    ]


def test_a_missing_folder_is_refused(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none")]) == 2
    assert "There is no table" in capsys.readouterr().err
