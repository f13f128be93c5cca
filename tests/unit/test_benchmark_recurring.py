"""The benchmark of events that recur: simulated machines have events and faults, and a label quiets the former."""

import numpy as np
import pytest

from benchmarks.recurring import EVENT, FAULTS, OTHER, SITES, add_faults, run_site, table


@pytest.mark.parametrize("name", SITES)
def test_each_machine_has_events_and_faults_after_its_training(name):
    site = SITES[name](np.random.default_rng(0))
    add_faults(site, np.random.default_rng(0))
    assert set(site.kinds[: site.row(site.trained)]) == {OTHER}
    assert set(site.kinds) == {EVENT, OTHER, *site.faults}
    begins = site.kinds[1:][site.kinds[1:] != site.kinds[:-1]]
    assert np.isin(begins, list(site.faults)).sum() == FAULTS


def test_one_label_quiets_most_later_events_of_a_night_and_no_fault():
    outcomes = run_site(("server, backup every night", 21), network=False)
    quiet = {EVENT: [], "larger": []}
    for _, labels, kind, is_quiet in outcomes:
        if labels == 1 and kind in quiet:
            quiet[kind].append(is_quiet)
    assert np.mean(quiet[EVENT]) > 0.8
    assert not any(quiet["larger"])


def test_the_table_has_shares_of_later_incidents():
    later = ((EVENT, True), ("larger", False))
    outcomes = [("pump", labels, kind, is_quiet) for labels in (1, 2, 3) for kind, is_quiet in later]
    assert table(outcomes)[2] == "| pump | 100% of 1 | 100% of 1 | 100% of 1 | 0% of 1 | none |"
