"""Parsing and printing that commands share."""

import json
import sys
from collections.abc import Sequence

from dxbench.errors import UsageError


def say(value: object) -> None:
    """JSON on stdout."""
    print(json.dumps(value, indent=1, sort_keys=True))


def warn(text: str) -> None:
    """A line on stderr."""
    print(f"warning: {text}", file=sys.stderr)


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


def parse_settings(option: str, texts: Sequence[str] | None) -> dict[str, str]:
    """ "key=value" texts, or a "key" alone, to a dict.

    Raises:
        UsageError: for a text without a key, or a key given twice.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        key, _, value = text.partition("=")
        if not key or key in found:
            raise UsageError(f"{option} takes key=value, each key once, got {text!r}")
        found[key] = value
    return found
