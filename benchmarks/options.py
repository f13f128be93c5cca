"""Values of options that the benchmarks share."""

import argparse


def positive(text: str) -> int:
    """A number of 1 or more, as argparse wants a type."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, received {text}")
    return number
