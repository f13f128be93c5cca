"""Waits for conditions, never for a fixed time."""

import time

DEADLINE_SECONDS = 240
_MAX_SECONDS = 3_600
_SECONDS_BETWEEN_LOOKS = 1.0


def until(condition, what, pause=0.02, progress=lambda: None):
    """Wait until a condition holds, and return its value; give up once nothing progresses.

    On a busy machine everything takes longer, but goes on: only a standstill counts against the deadline.

    Args:
        condition: called repeatedly.
        what: description of the condition, for the error.
        pause: seconds between two calls.
        progress: returns a value that changes as long as something is done.
    """
    started_at = changed_at = looked_at = time.monotonic()
    last = progress()
    while not (value := condition()):
        now = time.monotonic()
        if now - looked_at > _SECONDS_BETWEEN_LOOKS:
            looked_at, present = now, progress()
            if present != last:
                last, changed_at = present, now
        if now - changed_at > DEADLINE_SECONDS or now - started_at > _MAX_SECONDS:
            raise TimeoutError(f"Waited {now - started_at:.0f} s in vain until {what}.")
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
