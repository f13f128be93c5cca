"""Tasks on an executor: results in order, lost tasks repeated, and errors that end it."""

from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager

import pytest

from jobs.execution.engine import Engine
from jobs.execution.tasks import MAX_ATTEMPTS, Tasks
from jobs.execution.worker import Patience
from schemas.errors import ExecutorError


class Inline(Executor):
    """Computes at once; loses the calls in a list, each as often as it is listed."""

    def __init__(self, lost, computed):
        self.lost, self.computed = lost, computed

    def submit(self, function, /, *args):
        future = Future()
        if args[0] in self.lost:
            self.lost.remove(args[0])
            future.set_exception(BrokenExecutor("a process ended"))
            return future
        self.computed.append(args[0])
        try:
            future.set_result(function(*args))
        except ValueError as exc:
            future.set_exception(exc)
        return future


class Desk:
    """Tasks on an executor that loses calls, and what happened to them."""

    def __init__(self, *, lost=(), failing_opens=0, at_once=2):
        self.lost, self.computed, self.pauses, self.opened = [*lost], [], [], 0
        self.failing_opens = failing_opens
        self.tasks = Tasks(Engine("test", self.open), at_once, self.pauses.append)

    @contextmanager
    def open(self):
        self.opened += 1
        if self.opened <= self.failing_opens:
            raise OSError("nobody listens")
        yield Inline(self.lost, self.computed)

    def squares(self, numbers):
        return self.tasks.results(lambda number: number**2, ((number,) for number in numbers))


def test_results_come_in_order_and_calls_are_drawn_when_there_is_room():
    desk, drawn = Desk(), []
    results = desk.squares(drawn.append(number) or number for number in range(9))
    assert (next(results), drawn) == (0, [0, 1])
    assert [*results] == [number**2 for number in range(1, 9)]


def test_lost_tasks_are_submitted_again_to_a_new_executor_and_finished_ones_are_not():
    desk = Desk(lost=[1, 3, 3], at_once=3)
    assert [*desk.squares(range(5))] == [0, 1, 4, 9, 16]
    assert sorted(desk.computed) == [0, 1, 2, 3, 4]
    assert desk.opened == 3


def test_a_task_that_is_lost_again_and_again_is_an_error():
    desk = Desk(lost=[2] * 4)
    with pytest.raises(ExecutorError, match=r"'test' lost a task 3 times in a row: a process ended\. .*batch_size"):
        [*desk.squares(range(5))]


def test_an_executor_is_waited_for_and_given_up_in_the_end():
    desk = Desk(failing_opens=3)
    assert [*desk.squares([2])] == [4]
    assert desk.pauses == [1, 2, 4]
    desk = Desk(failing_opens=MAX_ATTEMPTS)
    with pytest.raises(ExecutorError, match="'test' cannot be reached: nobody listens. Start it, or correct"):
        [*desk.squares([2])]
    assert desk.pauses[-1] == 30


def test_an_error_of_a_task_is_raised():
    with pytest.raises(ValueError, match="three"):
        [*Desk().tasks.results(_refuse_three, ((number,) for number in range(9)))]


def _refuse_three(number):
    if number == 3:
        raise ValueError("three")


def test_a_worker_waits_for_as_long_as_batches_are_finished():
    times, left = iter([0.0, 0.0, 5.0, 11.0, 11.0, 20.0, 22.0, 22.0, 33.0, 33.0]), iter([3, 2, 3, 3])
    patience = Patience(10.0, lambda: next(left), lambda: next(times))
    # At 0 it begins; at 5 and 20 it does not count; by 11 a batch was finished, by 22 none.
    assert [patience() for _ in range(5)] == [False, False, False, False, True]
