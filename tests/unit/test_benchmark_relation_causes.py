"""Machines whose channels no longer belong together: a moved channel stays in its range, most of them leave it."""

import numpy as np
import pytest

from benchmarks.relation_causes import FAULTS, KINDS, TRAINED, machine_of


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_moves_its_channels_alone(kind):
    machine = machine_of(5, kind)
    assert len(machine.channels) == 7
    assert len(machine.faults) == FAULTS
    for fault in machine.faults:
        assert len(fault.channels) == (1 if kind == "one" else 6)
        for name in fault.channels:
            normal = machine.channels[name][:TRAINED]
            during = machine.channels[name][fault.start : fault.end]
            is_within = (normal.min() - 0.5 < during) & (during < normal.max() + 0.5)
            assert is_within.all() if kind == "one" else not is_within.all() or np.ptp(during) > 2
