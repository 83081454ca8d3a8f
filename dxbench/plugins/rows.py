"""One name for one row, the same wherever rows are typed or shown: `method:preset[key=value,...]`."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import cast, get_args

from pydantic import JsonValue

from dxbench.api import Precision
from dxbench.errors import UsageError
from dxbench.plugins.configure import DEFAULT_PRESET, assignments, parse_assignments, together

FORM = "method:preset[key=value,...]"
_NAME = re.compile(
    r"(?P<method>.*?\.py:\w+|[^:\[\]@]+)(:(?P<preset>[^:\[\]@]+))?(\[(?P<set>.*)\])?(@(?P<origin>[^\[\]]+))?", re.DOTALL
)
_LABELLED = re.compile(r" \((?:from )?(?P<origin>[^()]+)\)$")
"""How tables say whose runs a row has: "dxmi (yours)"."""
_NEEDS_QUOTES = re.compile(r"""[,\[\]{}@"]|^\s|\s$""")


@dataclass(frozen=True, kw_only=True)
class RowName:
    """A row: a method, its preset, what is set beside it, and whose runs are meant.

    Attributes:
        method: a method's name, or `path/to/file.py:Class`.
        precision: written among the settings, `[precision=bf16]`, since it makes a row of its own too.
        origin: `@yours` for your own runs, `@FOLDER` for those of another folder; "" where nothing is said.
    """

    method: str
    preset: str = DEFAULT_PRESET
    overrides: Mapping[str, JsonValue] = field(default_factory=dict)
    precision: Precision = "32"
    origin: str = ""

    @classmethod
    def parse(cls, text: str) -> "RowName":
        """The row that a text names.

        Raises:
            UsageError: if the text is of another form, or sets a key twice.
        """
        match = _NAME.fullmatch(_LABELLED.sub(r"@\g<origin>", text))
        if match is None:
            raise UsageError(f"cannot read {text!r} as a row; the form is {FORM}, such as dxmi:pretrained[tau=0.01]")
        overrides = parse_assignments(list(_settings(match["set"] or "")))
        precision = str(overrides.pop("precision", "32"))
        if precision not in get_args(Precision):
            raise UsageError(f"{text!r}: precision is one of {', '.join(get_args(Precision))}, got {precision}")
        return cls(
            method=match["method"],
            preset=match["preset"] or DEFAULT_PRESET,
            overrides=overrides,
            precision=cast(Precision, precision),
            origin=match["origin"] or "",
        )

    @classmethod
    def typed(
        cls,
        text: str,
        *,
        preset: str | None = None,
        overrides: Mapping[str, JsonValue] | None = None,
        precision: Precision = "32",
    ) -> "RowName":
        """The row that a run is asked for: its name, and options that say more of it.

        Raises:
            UsageError: as `parse`; if name and options both say something; if the name has a folder of records.
        """
        row, more = cls.parse(text), overrides or {}
        if row.origin:
            raise UsageError(f"{text!r}: @{row.origin} says where records are from; a run has none yet")
        if preset is not None and row.preset != DEFAULT_PRESET:
            raise UsageError(f"the preset is said twice, in {text!r} and as {preset!r}")
        if "32" not in (precision, row.precision):
            raise UsageError(f"the precision is said twice, in {text!r} and as {precision!r}")
        return replace(
            row,
            preset=row.preset if preset is None else preset,
            overrides=together(row.overrides, more, twice=lambda key: f"{key} is set twice, in {text!r} and beside it"),
            precision=row.precision if precision == "32" else precision,
        )

    def __str__(self) -> str:
        preset = "" if self.preset == DEFAULT_PRESET else f":{self.preset}"
        settings = [_quoted(text) for text in assignments(dict(sorted(self.overrides.items())))]
        settings += [] if self.precision == "32" else [f"precision={self.precision}"]
        origin = f"@{self.origin}" if self.origin else ""
        inside = f"[{','.join(settings)}]" if settings else ""
        return f"{self.method}{preset}{inside}{origin}"


def _quoted(assignment: str) -> str:
    """An assignment whose value keeps apart from the next: texts with a comma, a bracket or an @ go in quotes."""
    key, _, value = assignment.partition("=")
    if _is_text(value) and _NEEDS_QUOTES.search(value):
        return f"{key}={json.dumps(value, ensure_ascii=False)}"
    return assignment


def _is_text(value: str) -> bool:
    """True if a value is read as the text it is, and not as JSON."""
    try:
        json.loads(value)
    except json.JSONDecodeError:
        return True
    return False


def _settings(text: str) -> Iterator[str]:
    """The assignments of a text, parted by commas that stand outside of JSON values."""
    while text:
        key, equals, value = text.partition("=")
        end = value.find(",")
        with suppress(json.JSONDecodeError):
            if value[:1] in ("[", "{", '"'):
                end = json.JSONDecoder().raw_decode(value)[1]
        end = len(value) if end < 0 else end
        yield f"{key}{equals}{value[:end]}".strip()
        text = value[end:].strip().removeprefix(",")
