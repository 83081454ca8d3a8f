"""The rules that a task has to keep."""

from dxbench.api import Task
from dxbench.conformance import task_checks as checks
from dxbench.conformance.checking import Check, CheckResult, run_checks
from dxbench.conformance.task_subject import TaskSubject

CHECKS: tuple[Check[TaskSubject], ...] = (
    Check(
        name="identity",
        wants="name, version, docstring and headline say what the task is",
        remedy="Set the class attributes that dxbench.api.Task documents; headline is a tuple of names of its metrics.",
        run=checks.check_identity,
    ),
    Check(
        name="metrics",
        wants="metrics have names, titles and ranges, and refuse to measure nothing",
        remedy="Raise dxbench.api.NotApplicable where the inputs lacks what a metric needs; docs/adding-a-metric.md.",
        run=checks.check_metrics,
    ),
    Check(
        name="protocols",
        wants="the fingerprint of a metric is the same in every object and process",
        remedy="Put only plain values that the author chose into a protocol: no addresses, times or counters.",
        run=checks.check_protocols,
    ),
    Check(
        name="data",
        wants="data are finite float32 [n, *event] on the CPU, images in [-1, 1], with the std that is said",
        remedy="Shape batches by Problem.event_shape, scale images to [-1, 1], and compute data_std from the data.",
        run=checks.check_data,
    ),
    Check(
        name="reproducible",
        wants="the same rng draws the same data, another rng others",
        remedy="Take all randomness of `batch` from its rng, and that of the split from a seed of the task's name.",
        run=checks.check_reproducible,
        needs=("data",),
    ),
    Check(
        name="hidden",
        wants="a problem leads to data, and to no truth behind them",
        remedy="Give `Problem.data` the points or a function of the module to draw them, not an object that holds the "
        "task, a density or a test set.",
        run=checks.check_hidden,
        needs=("data",),
    ),
    Check(
        name="evaluation",
        wants="the truth has a score or a note for every metric, finite, as its protocol and card say",
        remedy="Score by dxbench.metrics.scoring.score over `metrics`, and have `evaluate` return all of it.",
        run=checks.check_evaluation,
        needs=("identity", "metrics", "data", "reproducible"),
    ),
    Check(
        name="repeatable",
        wants="a model has the same scores twice, and the global random generators are left alone",
        remedy="Draw references from streams of the task's name (dxbench.api.streams.derive_seed), samples from seeds.",
        run=checks.check_repeatable,
        needs=("evaluation",),
    ),
    Check(
        name="seeds",
        wants="sample i is drawn with the seed of the evaluation plus i, and num_samples of them",
        remedy="Draw by dxbench.drawing.draw.draw_samples with first_seed=seed, and say num_samples or leave it at 0.",
        run=checks.check_seeds,
        needs=("evaluation",),
    ),
    Check(
        name="batch-size",
        wants="scores do not depend on how many samples are drawn or asked at a time",
        remedy="Look at all samples together, never at a batch: no means, ranks or scales of one.",
        run=checks.check_batch_size,
        needs=("repeatable",),
    ),
    Check(
        name="without-model",
        wants="samples of a file have the scores that the model had which drew them",
        remedy="Have `evaluate` and `evaluate_samples` end in one function that scores samples.",
        run=checks.check_without_model,
        needs=("evaluation",),
    ),
    Check(
        name="wrong-law",
        wants="samples or energies of a wrong law score clearly worse than true ones, in a column of the tables",
        remedy="Choose a metric that sees shape, place and lost modes, enough samples, and the right `better`.",
        run=checks.check_wrong_law,
        needs=("evaluation",),
    ),
    Check(
        name="pictures",
        wants="figures for the report can be drawn from the arrays that are kept",
        remedy="Have `pictures` use the arrays of Evaluation alone, and give each figure a title and a caption.",
        run=checks.check_pictures,
        needs=("evaluation",),
    ),
)


def check_task(kind: type[Task]) -> list[CheckResult]:
    """Every check on one task, on the CPU. What needs files that are absent is skipped, and says so."""
    return run_checks(CHECKS, TaskSubject(kind))
