"""The benchmark of simulated machines: each case is seen by a person, and its measures count correctly."""

import numpy as np
import pytest

from benchmarks.further_machines import FURTHER_CASES
from benchmarks.machines import CASES, Fault, Machine, boiler, two_faults
from benchmarks.operations import Watch, case_table, outcome, second_fault_table
from benchmarks.person import person_alarms
from benchmarks.reading_machines import READING_CASES
from benchmarks.rhythm_machines import RHYTHM_CASES


@pytest.mark.parametrize("case", CASES)
def test_a_person_sees_each_fault_of_a_case_and_calm_before_it(case):
    machine = CASES[case](np.random.default_rng(1))
    alarms = person_alarms(machine)
    assert np.isfinite(machine.values).all()
    assert machine.faults or case == "counter_reset"
    for fault in machine.faults:
        assert machine.trained < fault.start < fault.end <= len(machine.values)
        assert set(fault.channels) <= set(machine.channels)
        assert alarms[fault.start : max(fault.end, fault.start + 3)].any()
    first = machine.faults[0].start if machine.faults else machine.trained
    assert not alarms[machine.trained : first].any()


def test_flagged_records_are_compared_with_the_faults():
    channels = {"a": np.zeros(1200), "b": np.zeros(1200)}
    faults = (Fault(300, 310, ("b",)), Fault(500, 501, ("a",)))
    machine = Machine(channels, 10, 192, faults=faults)
    flagged = np.isin(np.arange(192, 1200), [302, 303, 309, 310, 311, 700])
    shares = np.tile([0.4, 0.6], (1008, 1))
    result = outcome(Watch("stuck", "fixed", flagged), machine, shares)
    assert (result.found, result.share) == ((True, False), (0.3, 0.0))
    assert (result.delay, result.incidents, result.earlier, result.echo) == ((2,), (1,), (False,), (2, 0))
    assert (result.false_per_week, result.causes) == (3.0, (True,))
    row = "| stuck | fixed | 50% | 15% | 2 | 1.0 | 0% | 1.0 | 2 | 3.0 | 100% |"
    assert case_table([result])[2] == row
    incidents = np.select([flagged & (np.arange(192, 1200) < 305), flagged], [0, 1], -1)
    assert outcome(Watch("stuck", "online", flagged, incidents), machine, shares).incidents == (2,)


def test_a_second_fault_follows_the_first_after_a_pause():
    machine = boiler(np.random.default_rng(0))
    first, second = two_faults(machine, (8, 3), 1, ("current", 2, 3)).faults
    assert (second.start - first.end, second.end - second.start) == (6, 18)
    assert len(two_faults(machine, (0, 0), 1, ("current", 2, 3)).faults) == 1


def test_the_table_of_second_faults_has_medians_over_seeds():
    sizes = np.array([np.full((5, 5), size) for size in (1.0, 2.0, np.inf)])
    assert second_fault_table(sizes)[2] == "| none | 2 | 2 | 2 | 2 | 2 |"


def test_each_further_machine_has_one_fault_of_its_channels_after_the_training():
    for name, make in {**FURTHER_CASES, **RHYTHM_CASES, **READING_CASES}.items():
        machine = make(np.random.default_rng(0))
        (fault,) = machine.faults
        assert machine.trained < fault.start < fault.end < len(machine.values), name
        assert set(fault.channels) <= machine.channels.keys()
        assert np.isfinite(machine.values[fault.start : fault.end, 0]).any()
        assert not np.isinf(machine.values).any()
