"""Kills, crashes, wrong clocks and full disks under real processes, after which all must be as if nothing had been.

`python -m tests.chaos --help` says how to run it; docs/reliability.md says what it found.
"""
