"""Parsing and printing that commands share."""

import json
import sys

from dxbench.errors import UsageError


def say(value: object) -> None:
    """JSON on stdout."""
    print(json.dumps(value, indent=1, sort_keys=True))


def warn(text: str) -> None:
    """A line on stderr."""
    print(f"warning: {text}", file=sys.stderr)


def parse_seeds(text: str) -> list[int]:
    """ "0,1,2" or "0-4" to integers.

    Raises:
        UsageError: for anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        try:
            seeds.extend(range(int(low), int(high) + 1) if dash else [int(low)])
        except ValueError:
            raise UsageError(f"--seed takes numbers such as 0,1,2 or 0-4, got {text!r}") from None
    return seeds


def parse_duration(text: str) -> float:
    """ "90", "90s", "30m", "2h" to seconds.

    Raises:
        UsageError: for anything else.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text and text[-1] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--timeout takes 90s, 30m or 2h, got {text!r}")
    return seconds
