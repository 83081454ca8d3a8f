"""The conformance kit: what every method and every task has to keep, checked on small problems in seconds."""

from dxbench.conformance.checking import CheckResult
from dxbench.conformance.kit import check_method, check_on_task
from dxbench.conformance.problems import synthetic_problem
from dxbench.conformance.task_kit import check_task

__all__ = ["CheckResult", "check_method", "check_on_task", "check_task", "synthetic_problem"]
