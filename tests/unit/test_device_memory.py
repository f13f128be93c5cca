"""Work that runs out of the memory of a device starts again, without what the failed try held."""

import weakref

import pytest

from detector.core.device_memory import halving


class Held:
    """Memory of the device, with a size."""

    def __init__(self, size):
        self.size = size


def test_a_failed_try_holds_no_memory_during_the_next_one():
    tries = []

    def work(size):
        assert [held() for held in tries] == [None] * len(tries)
        memory = Held(size)
        tries.append(weakref.ref(memory))
        if size > 2:
            raise MemoryError("RESOURCE_EXHAUSTED")
        return memory.size

    with pytest.warns(UserWarning, match="batches of"):
        assert halving(8, work) == 2
    assert len(tries) == 3
