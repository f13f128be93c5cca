"""Work in threads."""

from threading import Barrier

import pytest
from threadpoolctl import threadpool_limits

from detector.core.threads import in_threads, usual_threads


def test_parts_are_worked_on_side_by_side_and_stay_in_order():
    meeting = Barrier(2, timeout=10)  # which a single thread would never get past

    def work(part):
        meeting.wait()
        return part * part

    assert in_threads(work, [3, 1, 2, 5], threads=2) == [9, 1, 4, 25]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_part_is_the_callers(threads):
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda part: 1 / part, [1, 0, 2], threads)


def test_the_usual_number_of_threads_is_that_of_matrix_products():
    with threadpool_limits(1, user_api="blas"):
        assert usual_threads() == 1
