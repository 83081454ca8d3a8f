"""Metrics whose protocol can be changed field by field, so that samples can be scored again as others were."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from pydantic import JsonValue

from dxbench.api import MetricProtocol, NotApplicable


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The attribute of a metric behind a field of its protocol, and how to read it from there.

    `read` raises ValueError for what is no such value.
    """

    attribute: str
    read: Callable[[JsonValue], Any]


@dataclass(frozen=True, kw_only=True)
class Adjustable(ABC):
    """Base of dataclass metrics: `with_field` by a table of choices.

    Attributes:
        choices: by field of the protocol; a field without one is fixed by the metric's code.
    """

    choices: ClassVar[Mapping[str, Choice]] = {}

    @property
    @abstractmethod
    def protocol(self) -> MetricProtocol: ...

    def with_field(self, field: str, value: JsonValue) -> Self:
        """The metric with a field of its protocol changed; fields of the same attribute change with it.

        Raises:
            NotApplicable: if no choice of the metric gives the field this value.
        """
        choice = self.choices.get(field)
        if choice is None:
            raise NotApplicable(f"{field} is fixed by the metric's code")
        try:
            changed = replace(self, **{choice.attribute: choice.read(value)})
        except ValueError:
            raise NotApplicable(f"{field} cannot be {value!r}") from None
        if changed.protocol.fields.get(field) != value:
            raise NotApplicable(f"{field} cannot be {value!r}")
        return changed


def whole(value: JsonValue) -> int:
    """A positive whole number; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(value)
    return value


def positive(value: JsonValue) -> float:
    """A positive number; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(value)
    return float(value)


def first_number(value: JsonValue) -> int:
    """The whole number that a text such as "200 equally spaced angles" begins with; ValueError if none."""
    if not isinstance(value, str):
        raise ValueError(value)
    return whole(int(value.split(" ", 1)[0].replace(",", "")))
