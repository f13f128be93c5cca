"""Parsers of command-line options that the benchmarks share."""

import argparse


def positive(text: str) -> int:
    """Parse a number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, received {text}")
    return number


def share(text: str) -> float:
    """Parse a number between 0 and 1."""
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, received {text}")
    return number


def seeds(text: str) -> tuple[int, ...]:
    """Parse comma-separated numbers."""
    return tuple(int(part) for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Parse comma-separated names."""
    return tuple(text.split(","))
