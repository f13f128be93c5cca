"""`plumbline doctor` checks that a record gets the same bits in every batch."""

from detector import bit_check
from detector.bit_check import BitCheck


def test_the_bits_of_this_machine_are_checked_without_a_configuration(workspace, monkeypatch):
    monkeypatch.setattr(bit_check, "WIDTHS", (8,))
    report = workspace.must("doctor", "--bits", "--json").json
    assert len(report["checks"]) > 10
    assert {check["largest_difference"] for check in report["checks"]} == {0.0}
    assert report["processor"]


def test_bits_that_differ_are_named_and_end_with_an_error(workspace, monkeypatch):
    checks = [BitCheck("product 3 x 64, float32", 0.0), BitCheck("network of records", 1.5e-7)]
    monkeypatch.setattr(bit_check, "check_bits", lambda: iter(checks))
    result = workspace.plumbline("doctor", "--bits")
    assert result.code == 1
    assert "network of records" in result.out
    assert "DIFFERS" in result.out
    assert "1 of 2 functions give a record other bits in another batch" in result.err


def test_without_bits_a_monitor_is_diagnosed(workspace):
    result = workspace.plumbline("doctor")
    assert (result.code, "There is no configuration at config.toml" in result.err) == (2, True)
    refused = workspace.plumbline("doctor", "pump", "--bits")
    assert (refused.code, "--bits checks this machine, not a monitor" in refused.err) == (2, True)
