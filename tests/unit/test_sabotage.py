"""Each sabotage finds its place in the code, and the tests that have to notice it."""

import pytest

from scripts.sabotage import ROOT, SABOTAGES


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name.partition(":")[0])
def test_a_sabotage_has_one_place_and_tests_that_exist(sabotage):
    assert (ROOT / sabotage.file).read_text(encoding="utf-8").count(sabotage.before) == 1
    for test in sabotage.tests:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
