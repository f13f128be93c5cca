"""Waits for conditions, never for a fixed time."""

import time

DEADLINE_SECONDS = 240


def until(condition, what, pause=0.02):
    """Wait until a condition holds, and return its value.

    Args:
        condition: called repeatedly.
        what: description of the condition, for the error.
        pause: seconds between two calls.
    """
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"Waited {DEADLINE_SECONDS} s in vain until {what}.")
        time.sleep(pause)
    return value


def at_once(condition):
    """Wait up to a second for a condition that holds for a millisecond only; return whether it came."""
    give_up_at = time.monotonic() + 1
    while not condition():
        if time.monotonic() > give_up_at:
            return False
    return True


def pass_seconds(seconds):
    """Let a random time pass, independent of any condition."""
    time.sleep(seconds)
