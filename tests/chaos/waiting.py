"""Waiting for a condition, never for a time."""

import time

DEADLINE_SECONDS = 240


def until(condition, what, pause=0.02):
    """Wait until a condition holds; what it gave.

    Args:
        condition: called again and again.
        what: it stands for, said where it never holds.
        pause: seconds between two looks.
    """
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"In {DEADLINE_SECONDS} s it did not happen that {what}.")
        time.sleep(pause)
    return found


def at_once(condition):
    """Wait for a condition without a pause, since it holds for a millisecond; False where it does not come soon."""
    give_up_at = time.monotonic() + 1
    while not condition():
        if time.monotonic() > give_up_at:
            return False
    return True


def pass_seconds(seconds):
    """Let a random time pass: here it is the point that nothing is waited for."""
    time.sleep(seconds)
