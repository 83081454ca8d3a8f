"""Checks in their order, each run once and reported with what it wants, what it got and the remedy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from dxbench.conformance.subject import Broken, NotChecked
from dxbench.engine.process import global_generator_state, restore_global_generators
from dxbench.errors import MissingData
from dxbench.files.code import told

Outcome = Literal["pass", "fail", "skipped"]
S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class Check(Generic[S]):
    """One thing to keep.

    Attributes:
        run: raises Broken or NotChecked; what it returns is a note beside the pass.
        needs: checks that have to pass before this one says anything.
    """

    name: str
    wants: str
    remedy: str
    run: Callable[[S], str | None]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The end of one check; `found` says what was got, why nothing was checked, or what a pass leaves open."""

    name: str
    outcome: Outcome
    wants: str
    found: str = ""
    remedy: str = ""


def run_checks(checks: Sequence[Check[S]], subject: S) -> list[CheckResult]:
    """Every check on one subject; the process's random generators are left as found."""
    before = global_generator_state()
    try:
        results: list[CheckResult] = []
        unsure: set[str] = set()  # failed, or not run because of one that did
        for check in checks:
            blocking = [name for name in check.needs if name in unsure]
            result = _blocked(check, blocking[0]) if blocking else _run(check, subject)
            if blocking or result.outcome == "fail":
                unsure.add(check.name)
            results.append(result)
    finally:
        restore_global_generators(before)
    return results


def _blocked(check: Check[S], by: str) -> CheckResult:
    return CheckResult(name=check.name, outcome="skipped", wants=check.wants, found=f"after `{by}`")


def _run(check: Check[S], subject: S) -> CheckResult:
    try:
        note = check.run(subject)
    except (NotChecked, MissingData) as reason:  # data that are absent show nothing of the task
        return CheckResult(name=check.name, outcome="skipped", wants=check.wants, found=str(reason))
    except Broken as got:
        found = str(got)
    except Exception as error:  # of what is examined, whatever it is
        found = told(error)
    else:
        return CheckResult(name=check.name, outcome="pass", wants=check.wants, found=note or "")
    return CheckResult(name=check.name, outcome="fail", wants=check.wants, found=found, remedy=check.remedy)
