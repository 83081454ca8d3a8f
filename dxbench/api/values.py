"""Immutable values with strict validation, and the one way in which they are hashed."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import ErrorDetails

Direction = Literal["lower", "higher", "none"]


Precision = Literal["32", "bf16", "fp16"]


Status = Literal["ok", "partial", "failed", "timeout", "out_of_memory", "skipped"]


class Frozen(BaseModel):
    """Immutable, with unknown keys refused and numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def canonical_json(value: JsonValue) -> str:
    """One text per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def short_hash(value: JsonValue, *, digits: int = 12) -> str:
    """First hex digits of the sha256 of `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:digits]


def _finite(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    canonical_json(value)  # a ValueError for NaN, for an infinity and for integers that are too long to print
    return value


Settings = Annotated[dict[str, JsonValue], AfterValidator(_finite)]
"""Named values of any form whose numbers are finite; `allow_inf_nan` does not reach into `JsonValue`."""


Natural = Annotated[int, Field(ge=0, le=10**30)]
"""A count or a seed. The bound, more than any machine counts, keeps it within a float."""


Positive = Annotated[int, Field(ge=1, le=10**30)]


NonNegative = Annotated[float, Field(ge=0)]


_PLAIN = {
    "int_parsing": "Input should be a valid integer",
    "int_from_float": "Input should be a valid integer",
    "float_parsing": "Input should be a valid number",
    "bool_parsing": "Input should be true or false",
    "missing": "It is missing",
    "unexpected_keyword_argument": "There is no such key",
    "extra_forbidden": "There is no such key",
    "union_tag_invalid": "Its kind should be one of {expected_tags}",
    "union_tag_not_found": "Its kind is missing",
    "dataclass_type": "Input should be keys with values",
    "model_type": "Input should be keys with values",
    "model_attributes_type": "Input should be keys with values",
    "value_error": "{error}",
    "assertion_error": "{error}",
}
"""What pydantic says in its own terms, in a user's: by its types of errors."""


def reason(error: ErrorDetails) -> str:
    """The reason why a value was refused, in words that need no knowledge of pydantic."""
    return _PLAIN[error["type"]].format(**error.get("ctx", {})) if error["type"] in _PLAIN else error["msg"]


def refusal(error: ValidationError) -> str:
    """Place where a file was first refused, and the reason."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {reason(first)}" if place else reason(first)
