"""Hostile input by the thousand: strategies that bend sound JSON and sound bytes, knowing their structure."""

import copy
import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LONG_INTEGER = 5_000
"""Digits; Python's own parser refuses integers of more than 4,300."""
_RAW = "\x00raw:"


def attack(examples: int) -> settings:
    """Settings of an attack with so many inputs: the same ones each time, others where DXBENCH_ATTACK_FRESH is set."""
    return settings(
        max_examples=int(examples * float(os.environ.get("DXBENCH_ATTACK_SCALE", "1"))),
        derandomize=not os.environ.get("DXBENCH_ATTACK_FRESH"),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def _raw(token: str) -> str:
    """A token that stands in the JSON text as it is, such as `1e999`."""
    return _RAW + token


NUMBERS = st.one_of(
    st.sampled_from(["1" * LONG_INTEGER, "-" + "9" * LONG_INTEGER, "1e999", "-1e999", "1e308", "1.0", "-0", "1e-400"]),
    st.sampled_from(["NaN", "Infinity", "-Infinity", str(2**63), str(2**64), str(-(2**70)), "0.5", "1e155", "01"]),
    st.integers(min_value=-(2**80), max_value=2**80).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
).map(_raw)
TEXTS = st.one_of(
    st.sampled_from(["", "\x1b[31mred\x1b[0m", "\x1b]0;owned\x07", "a\u202eb", "\ud800", "\udfff\ud800", "a\x00b"]),
    st.sampled_from(["../../etc/passwd", "/dev/zero", "=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "-2+3", "a\nb\r\tc"]),
    st.sampled_from(
        ["<script>alert(1)</script>", "{{ 7*7 }}", "\\input{/etc/passwd}", "\x9b2J", "\u2028", "x" * 100_000]
    ),
    st.text(max_size=30),
    st.sampled_from(['"\\ud800"', '"\\u0000"', "'single'", '"\\x41"']).map(_raw),
)
DEEP = st.sampled_from([2, 100, 20_000]).flatmap(
    lambda depth: st.sampled_from(["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth])
)
WIDE = st.sampled_from(["[" + "[]," * 30_000 + "[]]", "{" + ",".join(f'"{n}":0' for n in range(30_000)) + "}"])
HOSTILE = st.one_of(
    NUMBERS,
    TEXTS,
    st.sampled_from([None, True, False, [], {}]),
    st.one_of(DEEP, WIDE).map(_raw),
)
"""Values to put in the place of honest ones."""


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, item in inner for path in _paths(item, (*at, key)))]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@st.composite
def bent(draw: st.DrawFn, honest: Any, *, most: int = 3) -> Any:
    """A JSON value with one to `most` of its parts replaced, removed, renamed, doubled, nudged or swapped."""
    root = [copy.deepcopy(honest)]
    for _ in range(draw(st.integers(1, most))):
        path = draw(st.sampled_from(_paths(root)[1:]))
        parent, key = _at(root, path[:-1]), path[-1]
        match draw(st.sampled_from(["replace", "replace", "remove", "rename", "add", "swap", "wrap", "nudge"])):
            case "remove" if len(path) > 1:
                del parent[key]
            case "rename" if isinstance(parent, dict):
                parent[draw(TEXTS)] = parent.pop(key)
            case "add" if isinstance(parent, dict):
                parent[draw(TEXTS)] = draw(HOSTILE)
            case "add":
                parent.append(draw(HOSTILE))
            case "swap":
                parent[key] = copy.deepcopy(_at(root, draw(st.sampled_from(_paths(root)[1:]))))
            case "wrap":
                parent[key] = draw(st.sampled_from([[parent[key]], {"a": parent[key]}, [parent[key]] * 3]))
            case "nudge" if isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
                parent[key] = draw(
                    st.sampled_from([-parent[key], parent[key] + 1, parent[key] * 2, float(parent[key])])
                )
            case "nudge" if isinstance(parent[key], str) and not parent[key].startswith(_RAW):
                parent[key] = parent[key] + draw(TEXTS.filter(lambda text: not text.startswith(_RAW)))
            case _:
                parent[key] = draw(HOSTILE)
    return root[0]


def json_bytes(value: Any) -> bytes:
    """A bent value as the text of a file. Tokens that no JSON writer would write stand as they are."""
    raw: list[str] = []

    def marked(item: Any) -> Any:
        if isinstance(item, dict):
            return {_key(key): marked(inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [marked(inner) for inner in item]
        if isinstance(item, str) and item.startswith(_RAW):
            raw.append(item.removeprefix(_RAW))
            return f"<raw {len(raw) - 1}>"
        return item

    text = json.dumps(marked(value), separators=(",", ":"))
    for number, token in enumerate(raw):
        text = text.replace(f'"<raw {number}>"', token, 1)
    return text.encode("utf-8", errors="surrogatepass")


def _key(key: Any) -> str:
    return str(key).removeprefix(_RAW)


@st.composite
def bent_json(draw: st.DrawFn, honest: Any, *, most: int = 3) -> bytes:
    """The text of a file of JSON that was bent; of one in ten the bytes are damaged as well."""
    text = json_bytes(draw(bent(honest, most=most)))
    return draw(damaged(text)) if draw(st.integers(0, 9)) == 0 else text


@st.composite
def damaged(draw: st.DrawFn, sound: bytes, *, most: int = 3) -> bytes:
    """Bytes with one to `most` faults: flipped bits, a cut, a zeroed page, a piece put in, doubled or moved."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.sampled_from([1, 4, 64, 4096]))
        match draw(st.sampled_from(["flip", "flip", "flip", "cut", "zero", "insert", "double", "drop"])):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "zero":
                data[at : at + length] = bytes(len(data[at : at + length]))
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=64))
            case "double":
                data[at:at] = data[at : at + length]
            case "drop":
                del data[at : at + length]
    return bytes(data)
