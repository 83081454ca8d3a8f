"""Grids as typed: rows parted by commas, alternatives of a setting parted by bars."""

import itertools
from collections.abc import Iterator

from dxbench.errors import UsageError
from dxbench.plugins.rows import RowName

_OPENING, _CLOSING = "[{(", "]})"


def parts(text: str, mark: str) -> list[str]:
    """The pieces of a text between marks that stand outside of brackets and of double quotes."""
    pieces, depth, quoted, escaped = [""], 0, False, False
    for char in text:
        if quoted:
            quoted, escaped = char != '"' or escaped, char == "\\" and not escaped
        elif char == '"':
            quoted = True
        elif char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth -= 1
        elif char == mark and depth == 0:
            pieces.append("")
            continue
        pieces[-1] += char
    return [piece.strip() for piece in pieces]


def names(text: str) -> list[str]:
    """The names of "a,b".

    Raises:
        UsageError: if one is empty or stands there twice.
    """
    found = parts(text, ",")
    if not all(found):
        raise UsageError(f"{text!r} has an empty name between its commas")
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise UsageError(f"{text!r} names {', '.join(twice)} twice")
    return found


def rows(text: str) -> list[RowName]:
    """The rows of a text such as "x,y:quick[tau=0.01|0.1,T=4|10]": x, and four of y.

    Raises:
        UsageError: as `RowName.parse`, and for a row that stands there twice.
    """
    found = [RowName.parse(row) for name in names(text) for row in _alternatives(name)]
    shown = [str(row) for row in found]
    if twice := sorted({row for row in shown if shown.count(row) > 1}):
        raise UsageError(f"{text!r} names {', '.join(twice)} twice")
    return found


def settings(assignments: list[str]) -> list[list[str]]:
    """Every combination of assignments whose values may have alternatives, such as ["tau=0.01|0.1", "T=4"]."""
    return [list(one) for one in itertools.product(*map(_values, assignments))]


def _alternatives(row: str) -> Iterator[str]:
    """The rows that a row with alternatives stands for."""
    before, bracket, inside = row.partition("[")
    if not bracket or not inside.endswith("]"):
        yield row
        return
    for chosen in settings(parts(inside[:-1], ",")):
        yield f"{before}[{','.join(chosen)}]"


def _values(assignment: str) -> list[str]:
    key, equals, value = assignment.partition("=")
    return [f"{key}{equals}{one}" for one in parts(value, "|")]
