"""Values of options that the benchmarks share."""

import argparse


def positive(text: str) -> int:
    """A number of 1 or more, as argparse wants a type."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, received {text}")
    return number


def seeds(text: str) -> tuple[int, ...]:
    """Numbers between commas."""
    return tuple(int(part) for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(text.split(","))
