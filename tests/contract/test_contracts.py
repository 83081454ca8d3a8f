"""What every task, method, recipe, metric and suite has to keep; parametrised over all that are installed."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from conftest import Ended

from dxbench.api import (
    Compute,
    EvaluationInputs,
    Metric,
    Model,
    NoData,
    NotApplicable,
    Problem,
    ProblemSet,
)
from dxbench.api.streams import RandomStreams
from dxbench.boards.aggregate import matches
from dxbench.boards.published import read_published
from dxbench.conformance import check_on_task
from dxbench.drawing.draw import draw_samples
from dxbench.errors import MissingData
from dxbench.paths import published, reference_results
from dxbench.plugins import registry
from dxbench.plugins.configure import config_class, configure, presets, recipes
from dxbench.plugins.registry import load_method, load_task
from dxbench.plugins.suites import load_suite, suite_names
from dxbench.records.index import open_index

METHODS = sorted(registry.plugins("methods"))
TASKS = sorted(registry.plugins("tasks"))
FAMILIES = {"plane", "small_images", "images", "vectors", "patches", "boltzmann"}
SMALL = {
    "iterations": 6,
    "pretrain_iterations": 3,
    "hidden": 8,
    "latent": 4,
    "batch_size": 8,
    "critic": {"hidden": 8},
    "energy": {"hidden": 8},
    "critic_warmup": 1,
    "head_start": 2,
    "backbone": {"network": {"hidden": 8, "depth": 1}, "pretraining": {"iterations": 4, "batch_size": 8}},
}
SHORT: dict[str, dict[str, object]] = {
    "energy_matching": {"contrast_iterations": 4, "chain_steps": 12, "step_size": 0.1, "sampling_steps": 3},
    "eqm": {"sampling_steps": 3},
}
EXTRACTED = ("holdout_mnist", "screw", "screw_lite2")  # real data that take a while to be read
DETECTORS = ("iforest", "kde", "knn", "mahalanobis", "pca")
TRAINED_DETECTORS = ("ae", "dte", "dxmi_detection", "igebm", "mpdr", "nae", "patchcore", "vgs")
FORMS = [
    *[("dxmi", "gaussians8", {"value": value, "value_cost": cost})
      for value in ("shared", "time_independent", "separate") for cost in ("running", "none", "linear", "sigmoid")],
    ("dxmi", "gaussians8", {"sampler": {"kind": "strided"}, "backbone": {"network": {"hidden": 8},
                            "pretraining": {"iterations": 3, "batch_size": 8}}}),
    ("dxmi", "gaussians8", {"sweep": "sequential", "skip_last": 2}),
    ("dxmi", "gaussians8", {"tau": 0.0, "avr_decay": 1.0}),
    ("dxmi", "gaussians8", {"guidance": 0.3, "num_steps": 3}),
    *[("energy_selection", task, {"selection": {"kind": kind, "candidates": 3}})
      for task in ("gaussians8", "digits") for kind in ("best_of", "resampling")],
    ("dxmi", "gaussians8", {"tau_velocity": 0.01, "gamma": 0.0, "num_steps": 1}),
    ("ddpm", "gaussians8", {"backbone": {"network": {"schedule": "cosine"}, "pretraining": {"iterations": 6}},
                            "num_steps": 7}),
    ("ddpm", "gaussians8", {"num_steps": 1}),
    ("data", "gaussians8", {}),
    *[("dxmi", "digits", {"value": value}) for value in ("shared", "time_independent", "separate")],
    ("dxmi", "digits", {"head_start": 0, "guidance": 0.3, "num_steps": 2}),
    ("ddpm", "digits", {}),
    ("data", "digits", {}),
    ("edm", "digits", {"nfe": 5}),
    ("neon", "digits", {}),
    ("discriminator_guidance", "digits", {}),
    ("diffclf", "digits", {"octaves": 0, "steps": 3}),
    ("flow", "digits", {"nfe": 4}),
    ("meanflow", "digits", {"num_steps": 2}),
    ("ddim", "digits", {"num_steps": 4}),
    ("fastdpm", "digits", {"num_steps": 4}),
    ("ect", "digits", {"middle_sigmas": [0.8]}),
    ("consistency", "digits", {"middle_levels": [10]}),
    ("gan_finetune", "digits", {"head_start": 1}),
    ("gcd", "digits", {"head_start": 1}),
    ("adjoint_matching", "digits", {"head_start": 1}),
    ("sft_pg", "digits", {}),
    ("distribution_matching", "digits", {"adversarial": 0.1, "middle_sigmas": [0.5]}),
    ("sid", "digits", {"adversarial": 0.1}),
    ("drifting", "digits", {"unit": "rms"}),
    ("ddpo", "digits", {}),
    ("mmd", "digits", {"kernels": [{"kind": "polynomial"}]}),
    *[(name, "digits", {"potential": {"kind": "inner_product", "hidden": 8, "depth": 1}, **SHORT[name]})
      for name in ("energy_matching", "eqm")],
    *[(name, "holdout_digit", {}) for name in DETECTORS],
    ("ae", "holdout_digit", {}),
    ("ae", "holdout_digit", {"features": "sphere"}),
    ("dxmi_detection", "holdout_digit", {}),
    ("dxmi_detection", "holdout_digit", {"tau": 0.0, "features": "sphere"}),
    ("dxmi_detection", "holdout_digit", {"iterations": 0}),
    ("vgs", "holdout_digit", {"num_steps": 3}),
    ("mpdr", "holdout_digit", {}),
    ("mpdr", "holdout_digit", {"latent_steps": 0, "features": "sphere"}),
    ("nae", "holdout_digit", {"buffer": 20, "visible_steps": 3}),
    ("igebm", "holdout_digit", {"buffer": 20, "mcmc_steps": 3}),
    ("dte", "holdout_digit", {"widths": [8, 8]}),
    ("dte", "holdout_digit", {"widths": [8, 8], "double_softmax": True}),
    ("dte", "holdout_digit", {"widths": [8, 8], "variant": "inverse_gamma"}),
    ("dte", "holdout_digit", {"variant": "nonparametric"}),
    ("patchcore", "holdout_digit", {"share": 0.02}),
    *([("pyod", "holdout_digit", {})] if find_spec("pyod") else []),
    ("data", "mvtec_synthetic", {}),
    ("mahalanobis", "mvtec_synthetic", {}),
    *[(name, "mvtec_synthetic", {"features": "sphere"}) for name in ("ae", "dxmi_detection")],
    ("vgs", "mvtec_synthetic", {"features": "sphere", "num_steps": 2}),
    ("dte", "mvtec_synthetic", {"widths": [8, 8]}),
    ("patchcore", "mvtec_synthetic", {"share": 0.001}),
    ("padim", "mvtec_synthetic", {}),
    ("uniad", "mvtec_synthetic", {"layers": 1, "heads": 2, "batch_size": 2}),
    *[("edm", "gaussians8", {"sampler": sampler, "nfe": 5})
      for sampler in ("euler", "heun", "ancestral", "ipndm", "dpmpp3m")],
    ("edm", "gaussians8", {"epsilon_scale": 1.01, "nfe": 3}),
    ("flow", "gaussians8", {"nfe": 4}),
    ("flow", "gaussians8", {"sampler": "euler", "nfe": 3, "backbone": {"network": {"hidden": 8, "coupling":
     {"kind": "optimal_transport"}}, "pretraining": {"iterations": 4, "batch_size": 8}}}),
    ("meanflow", "gaussians8", {}),
    *[("meanflow", "gaussians8", {"backbone": {"network": {"hidden": 8, "target": {"kind": kind},
       "pairs": {"kind": "dyadic", "apart": 0.8}}, "pretraining": {"iterations": 4, "batch_size": 8}}})
      for kind in ("improved", "alpha", "shortcut")],
    ("ddim", "gaussians8", {}),
    ("ddim", "gaussians8", {"schedule": "linear", "num_steps": 4}),
    *[("fastdpm", "gaussians8", {"approximation": way, "schedule": schedule, "num_steps": 4})
      for way in ("VAR", "STEP") for schedule in ("quadratic", "linear")],
    ("fastdpm", "gaussians8", {"kappa": 0.5, "last_std": 0.0}),
    ("consistency", "gaussians8", {}),
    ("consistency", "gaussians8", {"distance": "pseudo_huber", "middle_levels": [7, 9]}),
    ("consistency", "gaussians8", {"variant": "training", "backbone": {"pretraining": {"iterations": 0}}}),
    ("ect", "gaussians8", {}),
    ("ect", "gaussians8", {"middle_sigmas": [0.8], "backbone": {"pretraining": {"iterations": 0}}}),
    ("gan_finetune", "gaussians8", {}),
    ("gan_finetune", "gaussians8", {"r1": 0.0, "backbone": {"pretraining": {"iterations": 0}}}),
    ("distribution_matching", "gaussians8", {}),
    ("distribution_matching", "gaussians8", {"unit": "one", "noise": {"kind": "lognormal"}}),
    ("distribution_matching", "gaussians8", {"divergence": "jensen_shannon", "adversarial": 0.0, "fake_steps": 2}),
    ("distribution_matching", "gaussians8", {"adversarial": 0.1, "middle_sigmas": [0.8, 0.2]}),
    ("sid", "gaussians8", {}),
    ("sid", "gaussians8", {"alpha": 1.0, "distance": {"kind": "pseudo_huber"}, "adversarial": 0.1}),
    ("sid_true_score", "gaussians8", {}),
    ("ddpo", "gaussians8", {"num_steps": 3}),
    ("diffclf", "gaussians8", {"levels": 3, "steps": 4}),
    ("diffclf", "gaussians8", {"classification": 0.0, "steps": 2}),
    ("neon", "gaussians8", {"sampler": "ipndm", "weight": 2.0}),
    ("discriminator_guidance", "gaussians8", {"sampler": "ipndm", "noise": {"kind": "lognormal"}}),
    ("ddpo", "gaussians8", {"num_steps": 2, "group_size": 4, "policy_passes": 2, "kl": 0.1, "scaled": False,
                            "reward": {"kind": "fixed"}}),
    ("mmd", "gaussians8", {}),
    ("mmd", "gaussians8", {"num_steps": 2, "schedule": "linear", "kernels": [{"kind": "laplace", "width": 0.2}]}),
    ("drifting", "gaussians8", {}),
    ("drifting", "gaussians8", {"field": {"kind": "mean_shift"}, "kernels": [{"kind": "gaussian", "width": 0.1},
                                {"kind": "laplace", "width": 0.2}], "backbone": {"pretraining": {"iterations": 2}}}),
    ("energy_matching", "gaussians8", {**SHORT["energy_matching"]}),
    ("energy_matching", "gaussians8", {**SHORT["energy_matching"], "solver": "heun", "data_chains": "ramped",
                                       "tau": 1.0, "coupling": "independent", "contrast_floor": 0.01, "trim": 0.1}),
    ("energy_matching", "gaussians8", {"contrast_iterations": 0, "sampling_steps": 3}),
    ("eqm", "gaussians8", {**SHORT["eqm"]}),
    ("eqm", "gaussians8", {**SHORT["eqm"], "momentum": 0.3, "coupling": "optimal"}),
    ("adjoint_matching", "gaussians8", {}),
    ("adjoint_matching", "gaussians8", {"num_steps": 1, "memoryless": True, "learn_std": False}),
    ("gcd", "gaussians8", {}),
    ("gcd", "gaussians8", {"tau": 0.0, "avr_decay": 1.0, "num_steps": 1}),
    ("sft_pg", "gaussians8", {"num_steps": 3}),
    ("langevin", "gmm9", {"num_steps": 3}),
    ("langevin", "gmm9", {"num_steps": 3, "adjusted": False}),
    ("hmc", "manywell32", {"num_steps": 2, "leapfrog_steps": 2, "step_size": 0.01}),
    *[(name, task, {"num_steps": 3}) for name in ("dds", "dxdp") for task in ("gmm9", "manywell32")],
    ("adjoint_sampling", "gmm9", {"num_steps": 3, "passes": 2, "replay": 2}),
    ("adjoint_sampling", "dw4", {"num_steps": 1, "octaves": 0}),
    ("hmc", "dw4", {"num_steps": 2, "leapfrog_steps": 2, "step_size": 0.01}),
    ("dxdp", "gmm40", {"num_steps": 1, "octaves": 2}),
    ("data", "gmm40", {}),
    ("sft_pg", "gaussians8", {"critic_steps": 1, "policy_passes": 2, "num_steps": 2}),
]  # fmt: skip

# What a method's model does not have, or, for data, does not do.
SAMPLING = {"classes", "shapes", "range", "seeds", "batch-size", "nfe"}
LACKS = {
    ("dxmi", "gaussians8"): set(),
    ("dxmi", "digits"): set(),
    ("energy_selection", "gaussians8"): set(),
    ("energy_selection", "digits"): set(),
    **{
        (name, task): {"value"}
        for name in ("adjoint_matching", "diffclf", "energy_matching", "eqm", "gcd")
        for task in ("gaussians8", "digits")
    },
    ("data", "gaussians8"): {"value", "resume"},
    ("data", "digits"): {"energy", "value", "resume"},
    ("data", "gmm40"): {"value", "resume"},
    **{
        (name, task): {"energy", "value", "resume"}
        for name in ("langevin", "hmc")
        for task in ("gmm9", "funnel10", "manywell32", "dw4")
    },
    **{(name, "holdout_digit"): {*SAMPLING, "value", "resume"} for name in DETECTORS},
    ("pyod", "holdout_digit"): {*SAMPLING, "value", "resume"},
    **{(name, "holdout_digit"): {*SAMPLING, "value"} for name in TRAINED_DETECTORS},
    **{(name, "mvtec_synthetic"): {*SAMPLING, "value", "resume"} for name in ("data", "mahalanobis", "padim")},
    **{(name, "mvtec_synthetic"): {*SAMPLING, "value"} for name in (*TRAINED_DETECTORS, "uniad")},
}
SAMPLER_ONLY = {"energy", "value"}


def small(name: str, task: str, overrides: dict[str, object]) -> dict[str, object]:
    """What to set for a training of a few steps of small networks."""
    config = configure(load_method(name), load_task(task), "default", {})
    chosen = {key: value for key, value in SMALL.items() if key in type(config).model_fields}
    backbone = getattr(config, "backbone", None)
    if backbone is not None and backbone.pretraining.iterations == 0:  # from scratch
        chosen["backbone"] = {"network": {"hidden": 8, "depth": 1}}
    return chosen | overrides


def trained(name: str, task_name: str, overrides: dict[str, object], *, steps: int | None = None) -> Model:
    """The model of a small training, after so many steps or all of them."""
    method, task = load_method(name), load_task(task_name)
    config = configure(method, task, "default", small(name, task_name, overrides))
    compute, rng = Compute(device="cpu", threads=1), RandomStreams(name, "contract")
    problem = task.problem(oracle=False)
    assert isinstance(problem, Problem)
    training = method().start(problem, config, compute=compute, rng=rng)
    for _ in range(training.total_steps if steps is None else steps):
        training.step()
    return training.model()


@pytest.mark.parametrize(("name", "task", "overrides"), FORMS, ids=str)
def test_every_form_of_every_method_passes_the_conformance_kit(
    name: str, task: str, overrides: dict[str, object]
) -> None:
    results = check_on_task(load_method(name), task, overrides=small(name, task, overrides), steps=9)
    assert not [(result.name, result.found) for result in results if result.outcome == "fail"]
    skipped = {result.name for result in results if result.outcome == "skipped"}
    training_free = {"resume"} if overrides.get("variant") == "nonparametric" else set()
    assert skipped == LACKS.get((name, task), SAMPLER_ONLY) | training_free


@pytest.mark.parametrize(("name", "overrides"), [("dxmi", {}), ("ddpm", {"num_steps": 4})])
def test_the_last_state_of_a_chain_is_the_sample(name: str, overrides: dict[str, object]) -> None:
    model = trained(name, "digits", overrides)
    assert model.trajectory_sampler is not None
    assert model.sampler is not None
    seeds = torch.tensor([3, 2**61, 5])
    states = model.trajectory(seeds)
    assert states.shape == (5, 3, 1, 8, 8)
    assert torch.equal(states[-1], model.sample(seeds))
    assert not torch.isclose(states[0], states[1]).all()


def test_the_start_of_dxmi_is_the_ddpm_of_the_same_training_seed() -> None:
    """At the same number of steps both sample the same images from the same seeds; DxMI itself has moved away."""
    after = trained("dxmi", "digits", {"policy_lr": 1e-2})
    before = trained("ddpm", "digits", {"num_steps": 4})
    assert after.start is not None
    assert after.sampler is not None
    assert before.sampler is not None
    seeds = torch.arange(8)
    assert torch.equal(after.start.sample(seeds), before.sample(seeds))
    assert not torch.allclose(after.sample(seeds), before.sample(seeds))


@pytest.mark.parametrize(
    "name",
    [
        "adjoint_matching",
        "ect",
        "consistency",
        "ddpo",
        "distribution_matching",
        "gan_finetune",
        "gcd",
        "mmd",
        "neon",
        "sft_pg",
        "sid",
    ],
)
def test_a_tuned_model_has_its_start_beside_it_at_equal_nfe(name: str) -> None:
    counts, moved = [], []
    model = trained(name, "digits", {})
    assert model.start is not None
    for sampler in (model, model.start):
        assert sampler.sampler is not None
        samples, nfe = draw_samples(
            sampler,
            6,
            event_shape=(1, 8, 8),
            first_seed=0,
            batch_size=6,
            progress=lambda text: None,
        )
        counts.append(nfe)
        moved.append(samples)
    assert counts[0] == counts[1] >= 1
    assert not np.allclose(*moved)


@pytest.mark.parametrize("name", ["adjoint_matching", "ddpo", "gcd", "sft_pg"])
def test_methods_that_start_from_the_ddpm_have_the_start_of_dxmi(name: str) -> None:
    model, dxmi = trained(name, "digits", {}), trained("dxmi", "digits", {})
    assert model.start is not None
    assert dxmi.start is not None
    assert model.start.sampler is not None
    assert dxmi.start.sampler is not None
    assert torch.equal(model.start.sample(torch.arange(4)), dxmi.start.sample(torch.arange(4)))


def test_counted_nfe_includes_guidance() -> None:
    counts = []
    for guidance in (0.0, 0.5):
        model = trained("dxmi", "gaussians8", {"guidance": guidance, "num_steps": 4}, steps=0)
        assert model.sampler is not None
        _, nfe = draw_samples(
            model,
            10,
            event_shape=(2,),
            first_seed=0,
            batch_size=4,
            progress=lambda text: None,  # type: ignore[arg-type]
        )
        counts.append(nfe)
    assert counts == [4.0, 12.0]  # a gradient is two passes


@pytest.mark.parametrize("name", METHODS)
def test_every_recipe_builds_and_serves_some_task(name: str) -> None:
    method, tasks = load_method(name), [load_task(task) for task in TASKS]
    for place, preset in recipes(method):
        served = [task for task in tasks if presets(method, task).get(preset) == place]
        assert served or place in FAMILIES, (place, preset)
        for task in served:
            config = configure(method, task, preset, {})
            assert type(config) is config_class(method, task, preset)
            assert type(config).model_validate(config.model_dump(mode="json")) == config


def test_every_task_is_of_a_known_family() -> None:
    assert {load_task(name).family.partition("/")[0] for name in TASKS} == FAMILIES | {"imagenet64"}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_registered_under_their_own_names(name: str) -> None:
    assert load_method(name).name == name


@pytest.mark.parametrize("name", TASKS)
def test_metrics_have_stable_protocols_and_refuse_nothing_to_measure(name: str) -> None:
    for metric in load_task(name).metrics:
        _check_metric(metric)


def _check_metric(metric: Metric) -> None:
    assert metric.protocol == metric.protocol
    assert len(metric.protocol.fingerprint) == 16
    nothing = EvaluationInputs(samples=None, energy=None, temperature=None, nfe=None, reference=None)
    with pytest.raises(NotApplicable):
        metric.measure(nothing)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in EXTRACTED else name for name in TASKS]
)
def test_tasks_draw_tables_of_their_metrics_and_hide_the_truth(name: str) -> None:
    task = load_task(name)
    names = {metric.name for metric in task.metrics}
    assert len(names) == len(task.metrics)
    assert set(task.headline) <= names
    try:
        problem = task.problem(oracle=False)
    except MissingData as error:
        pytest.skip(str(error))
    for part in problem.parts.values() if isinstance(problem, ProblemSet) else [problem]:
        assert part.oracle is None
        if isinstance(part.data, NoData):
            assert part.energy is not None
            assert part.energy(torch.zeros(4, *part.event_shape)).shape == (4,)
            continue
        try:
            batch = part.data.batch(4, rng=np.random.default_rng(0))
        except MissingData as error:  # read when first asked for
            pytest.skip(str(error))
        assert batch.shape == (4, *part.event_shape)
        assert batch.dtype == torch.float32


@pytest.mark.parametrize("name", suite_names())
def test_suites_name_real_methods_keys_and_published_rows(name: str) -> None:
    suite = load_suite(name)
    known = {row.id: row for _, row in read_published(published())}
    for line in suite.rows:
        method = load_method(line.method)
        config = configure(method, load_task(suite.task), line.preset, line.set)
        if line.published is not None:
            row = known[line.published]
            assert row.task == suite.task
            assert matches(method.name, config.model_dump(mode="json"), row.match), line.label


def test_published_rows_have_sources_and_are_unique() -> None:
    rows = read_published(published())
    assert len({row.id for _, row in rows}) == len(rows) == 194
    assert all(source.arxiv and source.title for source, _ in rows)
    drae = {row.id: row for _, row in rows}["dxmi/table5/draem"]
    assert drae.disputed is not None


def test_committed_records_are_readable_and_of_clean_code() -> None:
    index = open_index([reference_results()])
    assert not index.problems
    records = [entry.record() for task in index.tasks for entry in index.entries(task)]
    assert records
    assert all(record.provenance.git_dirty is False for record in records)


def test_committed_records_were_measured_by_todays_protocols_and_recipes() -> None:
    index = open_index([reference_results()])
    for record in (entry.record() for task in index.tasks for entry in index.entries(task)):
        task, method = load_task(record.task), load_method(record.method)
        assert (record.task_version, record.method_version) == (task.version, method.version), record.run_id
        today = configure(method, task, record.preset, record.overrides).model_dump(mode="json")
        assert method.migrate_config(record.config) == today
        protocols = {metric.protocol.fingerprint for metric in task.metrics}
        assert {estimate.fingerprint for estimate in record.scores.values()} <= protocols


def test_a_plugin_of_anothers_cannot_shadow_ours(dxbench: Callable[..., Ended]) -> None:
    assert all(plugin.origin == "dxmi-bench" for plugin in registry.plugins("methods").values())
