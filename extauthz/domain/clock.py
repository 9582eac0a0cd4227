"""The wall clock, read in one place. Rules take the time as an argument, from this or from a clock of the caller's."""

import time


def wall_clock_ms() -> int:
    """The time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
