"""The conformance kit: what every method has to keep, checked on small problems in seconds."""

from dxbench.conformance.kit import CheckResult, check_method, check_on_task
from dxbench.conformance.problems import synthetic_problem

__all__ = ["CheckResult", "check_method", "check_on_task", "synthetic_problem"]
