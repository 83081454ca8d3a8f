"""The rules that a method has to keep."""

from collections.abc import Mapping

from pydantic import JsonValue

from dxbench.api import Compute, Config, Method, Need, Problem, ProblemSet
from dxbench.conformance.checking import Check, CheckResult, run_checks
from dxbench.conformance.describing import check_config, check_identity
from dxbench.conformance.devices import check_device
from dxbench.conformance.evaluations import check_nfe
from dxbench.conformance.hidden import check_hidden
from dxbench.conformance.sampling import (
    check_batch_size,
    check_capabilities,
    check_classes,
    check_energy,
    check_range,
    check_seeds,
    check_shapes,
    check_value,
)
from dxbench.conformance.subject import Subject
from dxbench.conformance.training import (
    check_global_rng,
    check_repeatable,
    check_resume,
    check_state,
    check_training,
)
from dxbench.plugins.configure import DEFAULT_PRESET, configure
from dxbench.plugins.registry import load_task

STEPS = 6

CHECKS: tuple[Check[Subject], ...] = (
    Check(
        name="identity",
        wants="name, version, docstring and Config say who the method is",
        remedy="Set the class attributes that dxbench.api.Method documents.",
        run=check_identity,
    ),
    Check(
        name="config",
        wants="the configuration is frozen, closed, and survives JSON and training unchanged",
        remedy="Derive Config from dxbench.api.Config, keep its model_config, and use immutable fields.",
        run=check_config,
        needs=("identity",),
    ),
    Check(
        name="hidden",
        wants="the task shows the method data, and nothing behind them",
        remedy="This is the task's to mend: give `Problem.data` the points or a function of the module to draw them, "
        "not an object that holds the task, a density or a test set.",
        run=check_hidden,
    ),
    Check(
        name="training",
        wants="training starts, and every step gives finite scalars",
        remedy="Run the method under a debugger on the task; start() and step() are called as dxbench.api says.",
        run=check_training,
        needs=("identity",),
    ),
    Check(
        name="capabilities",
        wants="model() is a Model with networks that samples or has an energy",
        remedy="Return dxbench.api.Model(networks=(net,), sampler=draw) with a function draw(seeds), or with "
        "energy=function, or maps=function.",
        run=check_capabilities,
        needs=("training",),
    ),
    Check(
        name="classes",
        wants="samples are of the class that is asked for where the task has classes, and of none where it has not",
        remedy="Where problem.num_classes is set give num_classes and a sampler(seeds, labels); else a sampler(seeds).",
        run=check_classes,
        needs=("capabilities",),
    ),
    Check(
        name="shapes",
        wants="seeds [b] give floating samples [b, *event] for every b",
        remedy="Shape the result by len(seeds) and problem.event_shape.",
        run=check_shapes,
        needs=("classes",),
    ),
    Check(
        name="range",
        wants="samples are finite and in the units of the data",
        remedy="Undo every scaling of the data before returning samples; look for divisions by zero.",
        run=check_range,
        needs=("shapes",),
    ),
    Check(
        name="seeds",
        wants="the same seeds give the same samples, other seeds others",
        remedy="Draw all noise of sample i from seeds[i], for instance with dxmi.sampling.noise.SeededNoise.",
        run=check_seeds,
        needs=("range",),
    ),
    Check(
        name="batch-size",
        wants="sample i depends on seeds[i] alone, however the batch is cut",
        remedy="Use per-sample noise, and no statistics over the batch (batch normalisation: eval mode).",
        run=check_batch_size,
        needs=("seeds",),
    ),
    Check(
        name="nfe",
        wants="every network evaluation behind a sample goes through `networks`, once per pass",
        remedy="List in `networks` each network that sampling evaluates, the innermost that is called repeatedly, "
        "and call it as network(x, ...), samples along the first axis.",
        run=check_nfe,
        needs=("shapes",),
    ),
    Check(
        name="energy",
        wants="energy(x [b, *event]) gives finite [b], point by point, and a temperature >= 0 or None; "
        "maps(grids [b, h, w, d]) finite [b, h, w], image by image",
        remedy="Return one energy per point, computed from that point alone, or from its image alone.",
        run=check_energy,
        needs=("capabilities",),
    ),
    Check(
        name="value",
        wants="value(x, k) gives finite [b], and at k = num_steps the energy",
        remedy="Define value(x, num_steps) as energy(x); see NOTATION.md.",
        run=check_value,
        needs=("energy",),
    ),
    Check(
        name="repeatable",
        wants="the same seed trains to the same bits, another seed to others",
        remedy="Take all randomness from rng.torch(name) and rng.numpy(name); no clock, no set order, no fixed seed.",
        run=check_repeatable,
        needs=("range", "seeds"),
    ),
    Check(
        name="global-rng",
        wants="the global random generators are neither read nor moved",
        remedy="Pass generator=rng.torch(name); build modules inside torch.random.fork_rng() after "
        "torch.manual_seed(rng.seed(name)).",
        run=check_global_rng,
        needs=("repeatable",),
    ),
    Check(
        name="state",
        wants="state_dict() holds finite tensors and plain values, and sampling does not change it",
        remedy="Keep only what the next step depends on, as tensors, numbers, texts, lists and dicts.",
        run=check_state,
        needs=("classes",),
    ),
    Check(
        name="resume",
        wants="saved half way, loaded into a new training and finished, it ends as if never stopped",
        remedy="Put everything the next step depends on into state_dict(): optimiser, schedule, EMA, step counter.",
        run=check_resume,
        needs=("state", "repeatable"),
    ),
    Check(
        name="device",
        wants="all that is computed with lives on the device that `compute` names",
        remedy="Create tensors with device=compute.device and move data batches there; networks too.",
        run=check_device,
        needs=("classes",),
    ),
)


def check_method(
    method: type[Method], problem: Problem, config: Config, *, steps: int = STEPS, device: str = "cpu"
) -> list[CheckResult]:
    """Every check on one method, each training at most `steps` steps."""
    subject = Subject(method, problem, config, steps=steps, compute=Compute(device=device, threads=1))
    return run_checks(CHECKS, subject)


def check_on_task(
    method: type[Method],
    task: str,
    *,
    preset: str = DEFAULT_PRESET,
    overrides: Mapping[str, JsonValue] | None = None,
    steps: int = STEPS,
    device: str = "cpu",
) -> list[CheckResult]:
    """`check_method` on the problem of a task, or the first of its problems, configured as a run would be.

    Raises:
        UsageError: for an unknown task, preset or key.
        MissingData: if the task's files are absent.
    """
    loaded = load_task(task)
    config = configure(method, loaded, preset, overrides or {})
    problem = loaded.problem(oracle=Need.ORACLE in method.needs)
    first = next(iter(problem.parts.values())) if isinstance(problem, ProblemSet) else problem
    return check_method(method, first, config, steps=steps, device=device)
