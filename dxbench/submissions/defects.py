"""Defects of a bundle."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One thing that keeps a bundle from being believed.

    Attributes:
        where: the member or run, and the field.
        problem: what was got, and what was wanted.
    """

    where: str
    problem: str
    remedy: str
