"""The neighbours are the nearest points, whatever other queries are in the batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detector.core import kernels, neighbours
from detector.core.arithmetic import CHOICE
from detector.core.neighbours import (
    AXES_MULTIPLE,
    MAX_CELL_POINTS,
    MEAN_CELL_POINTS,
    MIN_VARIANCE_SHARE,
    PROBED_CELLS,
    Neighbours,
    _cells,
    _principal_axes,
)

coordinates = st.integers(-400, 400).map(lambda quarters: quarters / 4)  # apart or tied, in float32 too
planes = arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=coordinates)
grids = arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=st.integers(-2, 2))  # many ties


@pytest.fixture(scope="module", autouse=True)
def compiled_kernels():
    """Compute in compiled code, whatever the process has computed before; its bits are those of NumPy."""
    with CHOICE.only("compiled"):
        yield


def nearest(points, query, k):
    """Return the k nearest points less the query, by distance and then by position."""
    difference = points.astype(np.float64) - query
    return difference[np.argsort(np.square(difference).sum(axis=1), kind="stable")[:k]]


def rebuilt_distance(points, query, k):
    """Return the distance from the query to the best affine combination of its neighbours, by the normal equations."""
    difference = nearest(points, query, k)
    gram = difference @ difference.T
    trace = np.trace(gram) or 1.0
    weights = np.linalg.solve(gram / trace + 0.2 / len(gram) * np.eye(len(gram)), np.ones(len(gram)))
    return np.linalg.norm(weights / weights.sum() @ difference)


@given(planes | grids, planes | grids, st.integers(1, 12))
def test_the_mean_distance_is_that_of_a_full_search(points, queries, k):
    distance = Neighbours(points).mean_distance(queries, k)
    expected = [np.linalg.norm(nearest(points, query, k), axis=1).mean() for query in queries]
    np.testing.assert_allclose(distance, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("m", "k"), [(200, 10), (200, 2), (5, 10), (1, 10)])
def test_the_rebuilt_distance_is_that_of_a_full_search(m, k):
    rng = np.random.default_rng(0)
    points, queries = (rng.normal(size=(n, 5)).astype(np.float32) for n in (m, 50))
    distance = Neighbours(points).reconstruction_distance(queries, k)
    np.testing.assert_allclose(distance, [rebuilt_distance(points, query, k) for query in queries], rtol=1e-5)


def test_fewer_points_than_requested_are_all_neighbours():
    points = np.array([[0.0, 0.0], [0.0, 2.0]], dtype=np.float32)
    query = np.array([[0.0, 1.0]], dtype=np.float32)
    assert Neighbours(points).mean_distance(query, 10).tolist() == [1.0]
    assert Neighbours(points).reconstruction_distance(query, 10) == pytest.approx([0.0], abs=1e-7)


def test_a_point_of_the_reference_is_at_no_distance_however_often_it_is_there():
    points = np.repeat(np.random.default_rng(0).normal(size=(20, 4)), 30, axis=0).astype(np.float32)
    search = Neighbours(points)
    np.testing.assert_array_equal(search.mean_distance(points[::30], 10), 0.0)
    np.testing.assert_array_equal(search.reconstruction_distance(points[::30], 10), 0.0)


def test_a_point_within_its_neighbours_is_rebuilt_better_than_one_beside_them():
    rng = np.random.default_rng(0)
    line = np.outer(np.linspace(-1, 1, 200), [1.0, 1.0]).astype(np.float32)
    along = np.outer(rng.uniform(-0.5, 0.5, 20), [1.0, 1.0]).astype(np.float32)
    aside = along + np.array([0.1, -0.1], dtype=np.float32)
    search = Neighbours(line)
    assert search.reconstruction_distance(along, 10).max() < 0.1 * search.reconstruction_distance(aside, 10).min()


def test_the_blended_distance_is_three_parts_reconstruction_and_one_part_distance():
    rng = np.random.default_rng(0)
    search, queries = (rng.normal(size=(n, 5)).astype(np.float32) for n in (2_000, 50))
    search = Neighbours(search)
    rebuilt, mean = search.reconstruction_distance(queries, 10), search.mean_distance(queries, 10)
    np.testing.assert_allclose(search.blended_distance(queries, 10), rebuilt**0.75 * mean**0.25, rtol=1e-12)


@pytest.mark.parametrize("measure", ["mean_distance", "reconstruction_distance", "blended_distance"])
@pytest.mark.parametrize("step", [0.0, 0.1], ids=["random", "tied"])
def test_an_answer_has_the_same_bits_wherever_a_batch_is_cut(measure, step):
    rng = np.random.default_rng(0)
    points, queries = (rng.normal(size=(n, 30)) for n in (3000, 519))
    if step:  # coordinates on a lattice: many points at nearly one distance
        points, queries = (np.round(np.clip(a, -0.2, 0.2) / step) * step for a in (points[:, :4], queries[:, :4]))
    points, queries = points.astype(np.float32), queries.astype(np.float32)
    ask = getattr(Neighbours(points), measure)
    whole = ask(queries, 10)
    for cuts in ([1], [255, 258], [100, 101, 300]):
        parts = [ask(part, 10) for part in np.split(queries, cuts)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = rng.permutation(len(queries))
    np.testing.assert_array_equal(ask(queries[order], 10), whole[order])


def test_the_queries_and_the_points_stay_as_they_are():
    points, queries = np.arange(40.0, dtype=np.float32).reshape(20, 2), np.ones((3, 2), dtype=np.float32)
    kept = points.copy(), queries.copy()
    Neighbours(points).reconstruction_distance(queries, 5)
    np.testing.assert_array_equal(points, kept[0])
    np.testing.assert_array_equal(queries, kept[1])


def test_of_many_points_at_the_same_distance_the_same_ones_count_whatever_is_asked_beside():
    rng = np.random.default_rng(0)
    levels = [3, 4, 5, 7, 6, 2, 8, 5]  # nominal records: neighbours differ in one level, and tie
    points, queries = (
        np.hstack([1.3 * np.eye(count)[rng.integers(0, count, n)] for count in levels]).astype(np.float32)
        for n in (3000, 300)
    )
    search, order = Neighbours(points), rng.permutation(300)
    whole = search.reconstruction_distance(queries, 10)
    np.testing.assert_array_equal(search.reconstruction_distance(queries[order], 10), whole[order])
    alone = [search.reconstruction_distance(queries[i : i + 1], 10)[0] for i in range(0, 300, 30)]
    np.testing.assert_array_equal(alone, whole[::30])


@pytest.mark.parametrize("measure", ["mean_distance", "reconstruction_distance"])
def test_a_point_that_asks_for_its_neighbours_is_none_of_them(measure):
    points = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    among_all = getattr(Neighbours(points), measure)(points[:3], 10, np.array([0, 1, -1]))
    for row, others in enumerate([points[1:], np.delete(points, 1, axis=0), points]):
        alone = getattr(Neighbours(others), measure)(points[row : row + 1], 10)
        assert among_all[row] == pytest.approx(alone[0], rel=1e-9)


def test_of_many_points_nearly_all_neighbours_are_found():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 40))
    points, queries = ((rng.normal(size=(n, 6)) @ mixing).astype(np.float32) for n in (6000, 300))
    distance = Neighbours(points).mean_distance(queries, 5)
    exact = np.array([np.linalg.norm(nearest(points, query, 5), axis=1).mean() for query in queries])
    assert (distance >= exact * (1 - 1e-6)).all()
    assert np.mean(distance <= exact * (1 + 1e-6)) >= 0.97


@pytest.mark.parametrize("copies", [1, 40])
def test_every_point_is_in_one_cell_of_limited_size(copies):
    points = np.repeat(np.random.default_rng(0).normal(size=(4000 // copies, 3)), copies, axis=0).astype(np.float32)
    points[: len(points) // 4] = points[0]
    cells = _cells(points)
    assert sorted(np.concatenate(cells)) == list(range(len(points)))
    assert max(map(len, cells)) <= MAX_CELL_POINTS


def test_a_mean_that_ends_without_a_point_makes_no_cell(monkeypatch):
    monkeypatch.setattr(neighbours, "KMEANS_ROUNDS", 0)  # rounds that stop early stand for points that are still moving
    points = np.repeat(np.arange(3, dtype=np.float32), 400)[:, None]
    cells = _cells(points)
    assert min(map(len, cells)) > 0
    np.testing.assert_array_equal(np.sort(np.concatenate(cells)), np.arange(1200))


def test_a_hundred_neighbours_are_found_among_points_that_lie_far_apart():
    rng = np.random.default_rng(0)
    points = rng.standard_cauchy(size=(3000, 2)).astype(np.float32)  # most cells would hold one or two
    distance = Neighbours(points).mean_distance(points[:50], 100)
    exact = np.array([np.linalg.norm(nearest(points, point, 100), axis=1).mean() for point in points[:50]])
    np.testing.assert_allclose(np.median(distance / exact), 1, rtol=1e-6)
    assert (distance / exact).max() < 1.5


def test_the_axes_of_the_search_hold_nearly_all_variance_and_no_more_than_needed():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 20)) @ rng.normal(size=(20, 120)) + 0.01 * rng.normal(size=(2000, 120))
    centred = (points - points.mean(axis=0)).astype(np.float32)
    axes = _principal_axes(centred)
    assert axes.shape == (120, 2 * AXES_MULTIPLE)
    np.testing.assert_allclose(axes.T @ axes, np.eye(2 * AXES_MULTIPLE), atol=1e-9)
    assert np.square(centred @ axes).sum() >= MIN_VARIANCE_SHARE * np.square(centred).sum()


def test_points_few_enough_are_searched_whole_and_in_all_coordinates():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(4, 10))  # of groups, in which only coordinates of little variance differ
    points, queries = (
        np.hstack([places[rng.integers(0, 4, n)], 0.01 * rng.normal(size=(n, 30))]).astype(np.float32)
        for n in (PROBED_CELLS * MEAN_CELL_POINTS, 40)
    )
    exact = [np.linalg.norm(nearest(points, query, 5), axis=1).mean() for query in queries]
    np.testing.assert_allclose(Neighbours(points).mean_distance(queries, 5), exact, rtol=1e-6)


@pytest.mark.parametrize("m", [1, 33, PROBED_CELLS * MEAN_CELL_POINTS])
def test_cells_do_not_matter_to_points_few_enough(m, monkeypatch):
    rng = np.random.default_rng(0)
    points, queries = (rng.integers(-3, 4, (n, 3)).astype(np.float32) for n in (m, 300))  # with many ties
    centred = points - points.mean(axis=0)
    distances = [Neighbours(points).blended_distance(queries, min(10, m))]
    monkeypatch.setattr(neighbours, "_chunks", lambda _: _cells(centred)[::-1])
    distances.append(Neighbours(points).blended_distance(queries, min(10, m)))
    np.testing.assert_array_equal(*distances)


def test_systems_of_equations_are_solved_side_by_side():
    roots = np.random.default_rng(0).normal(size=(kernels.LANES, 7, 9))
    matrices = roots @ roots.transpose(0, 2, 1)
    equations = np.concatenate([matrices, np.ones((kernels.LANES, 7, 1))], axis=2).transpose(1, 2, 0).copy()
    kernels._solve(equations, 7)
    np.testing.assert_allclose(equations[:, 7].T, np.linalg.solve(matrices, np.ones((7, 1)))[..., 0], rtol=1e-7)


@pytest.mark.parametrize("m", [30, 3_000])
def test_the_arrays_of_an_index_are_contiguous_so_that_the_kernels_work_along_vectors(m):
    index = Neighbours(np.random.default_rng(0).normal(size=(m, 20)).astype(np.float32))._index
    arrays = (index.points, index.positions, index.tiles, index.means)
    assert [array.flags.c_contiguous for array in arrays] == [True] * len(arrays)
