"""The kit passes what is sound and finds what is not, each fault by the check that is there for it."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_methods import BAD, Good, GoodModel, OnlyByClass, bad
from conftest import Ended, method

from dxbench.api import Compute, LabelledData, Method, Need
from dxbench.conformance import CheckResult, check_method, check_on_task, synthetic_problem
from dxbench.conformance.devices import MetaStreams
from dxbench.conformance.kit import CHECKS
from dxbench.conformance.sampling import SEEDS

FILE = Path(__file__).with_name("bad_methods.py")


def failed(results: list[CheckResult]) -> list[str]:
    return [result.name for result in results if result.outcome == "fail"]


def test_a_sound_method_passes_every_check() -> None:
    results = check_method(Good, synthetic_problem((2,)), Good.Config())
    assert [result.outcome for result in results] == ["pass"] * len(CHECKS), results


@pytest.mark.parametrize(("check", "fault", "bad"), BAD, ids=[f"{check}: {fault}" for check, fault, _ in BAD])
def test_each_fault_is_found_by_its_check_and_no_other(check: str, fault: str, bad: type[Method]) -> None:
    results = check_method(bad, synthetic_problem((2,)), bad.Config())
    assert failed(results) == [check], [(r.name, r.found) for r in results if r.outcome == "fail"]
    (result,) = [result for result in results if result.outcome == "fail"]
    assert result.found
    assert result.remedy


def test_every_check_has_a_method_that_fails_it() -> None:
    of_the_task = {"hidden"}  # tests/conformance/test_hidden.py
    assert {check for check, _, _ in BAD} == {check.name for check in CHECKS} - of_the_task


def test_checks_after_a_failed_one_say_so_instead_of_failing_too() -> None:
    bad = next(bad for check, _, bad in BAD if check == "training")
    results = {result.name: result for result in check_method(bad, synthetic_problem((2,)), bad.Config())}
    assert results["capabilities"].outcome == "skipped"
    assert results["capabilities"].found == "after `training`"
    assert results["nfe"].outcome == "skipped"


def test_an_unmet_need_is_a_skip_not_a_pass() -> None:
    class NeedsTruth(Good):
        """Wants to see the truth."""

        needs = frozenset({Need.ORACLE})

    results = {r.name: r for r in check_method(NeedsTruth, synthetic_problem((2,)), Good.Config())}
    assert results["training"].outcome == "skipped"
    assert "the true distribution" in results["training"].found
    assert results["shapes"].outcome == "skipped"


class IgnoresLabels(OnlyByClass):
    def sample(self, seeds: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().sample(seeds, torch.zeros_like(labels))


class OtherNumberOfClasses(OnlyByClass):
    num_classes = 10


class LabelByPosition(OnlyByClass):
    def sample(self, seeds: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().sample(seeds, (labels + torch.arange(len(labels))) % 2)


@pytest.mark.parametrize(
    ("model", "fails"),
    [
        (OnlyByClass, []),
        (GoodModel, ["classes"]),
        (IgnoresLabels, ["classes"]),
        (OtherNumberOfClasses, ["classes"]),
        (LabelByPosition, ["batch-size"]),
    ],
)
def test_on_a_problem_with_classes_samples_follow_the_label(model: type[GoodModel], fails: list[str]) -> None:
    tried = bad("classes", model=model)
    results = check_method(tried, synthetic_problem((2,), classes=True), tried.Config())
    assert failed(results) == fails, [(r.name, r.found) for r in results if r.outcome == "fail"]


def test_the_kit_leaves_the_global_generators_as_it_found_them() -> None:
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    wanted = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=True)[1].tolist()  # noqa: NPY002
    check_method(Good, synthetic_problem((2,)), Good.Config())
    assert torch.equal(torch.get_rng_state(), wanted[0])
    assert random.getstate() == wanted[1]
    assert np.random.get_state(legacy=True)[1].tolist() == wanted[2]  # noqa: NPY002


def test_the_seeds_tried_are_far_apart_and_reach_beyond_32_bits() -> None:
    assert len(set(SEEDS.tolist())) == len(SEEDS)
    assert SEEDS.max() > 2**32


def test_hooks_are_gone_after_a_check_that_failed() -> None:
    from torch.nn.modules import module

    bad = next(bad for check, fault, bad in BAD if fault == "hidden network")
    check_method(bad, synthetic_problem((2,)), bad.Config())
    assert not module._global_forward_hooks
    assert not module._global_forward_pre_hooks


def test_guidance_by_an_energy_network_counts_where_it_is_listed() -> None:
    problem = synthetic_problem((2,))

    class Guided(GoodModel):
        def __init__(self, net: torch.nn.Module, num_steps: int, event_shape: tuple[int, ...]) -> None:
            super().__init__(net, num_steps, event_shape)
            self.guide = torch.nn.utils.skip_init(torch.nn.Linear, *event_shape, 1)
            torch.nn.init.ones_(self.guide.weight)
            torch.nn.init.zeros_(self.guide.bias)
            self.networks = (net, self.guide)

        def refine(self, x: torch.Tensor) -> torch.Tensor:
            return super().refine(x) * (1 + 0.01 * self.guide(x))

    listed = bad("nfe", model=Guided)
    results = {r.name: r for r in check_method(listed, problem, listed.Config())}
    assert results["nfe"].outcome == "pass", results["nfe"]


def test_meta_streams_draw_what_cpu_streams_draw() -> None:
    meta, cpu = MetaStreams("a"), MetaStreams("a")
    generator = meta.torch("noise", device="meta")
    assert generator.device.type == "meta"
    assert meta.torch("noise", device="meta") is generator
    draws = [torch.randn(3, generator=g, device="cpu") for g in (generator, cpu.torch("noise"))]
    assert torch.equal(*draws)


@pytest.mark.parametrize("event_shape", [(1,), (5,), (3, 4, 4)])
def test_synthetic_problems_have_the_shape_and_spread_they_state(event_shape: tuple[int, ...]) -> None:
    problem = synthetic_problem(event_shape)
    batch = problem.data.batch(20_000, rng=np.random.default_rng(0))
    assert batch.shape == (20_000, *event_shape)
    assert batch.dtype == torch.float32
    assert float(batch.std()) == pytest.approx(problem.data_std, rel=0.02)


def test_a_synthetic_problem_with_classes_labels_its_points_as_its_batches_are() -> None:
    problem = synthetic_problem((3,), classes=True)
    assert isinstance(problem.data, LabelledData)
    points, labels = problem.data.labelled_batch(500, rng=np.random.default_rng(1))
    assert torch.equal(points, problem.data.batch(500, rng=np.random.default_rng(1)))
    assert torch.equal(labels, (points.mean(dim=1) > 0).long())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["ddpm", "dxmi"])
def test_our_methods_keep_the_contract_on_cuda(name: str) -> None:
    from dxbench.plugins.registry import load_method

    assert not failed(check_on_task(load_method(name), "gaussians8", device="cuda"))


def test_the_command_prints_a_line_per_check_and_exits_5(dxbench: Callable[..., Ended]) -> None:
    good = dxbench("check-method", f"{FILE}:Good")
    assert good.code == 0, good.err
    assert all(check.name in good.out for check in CHECKS)
    bad = dxbench("check-method", f"{FILE}:NoVersion")
    assert bad.code == 5
    assert "remedy: Set the class attributes" in bad.out
    machine = dxbench("check-method", f"{FILE}:NoVersion", "--json")
    assert machine.code == 5
    assert machine.json["ok"] is False
    outcomes = {check["name"]: check["outcome"] for check in machine.json["checks"]}
    assert outcomes["identity"] == "fail"
    assert set(outcomes) == {check.name for check in CHECKS}


def test_the_command_names_unknown_methods_tasks_and_keys(dxbench: Callable[..., Ended]) -> None:
    assert "Did you mean 'dxmi'" in dxbench("check-method", "dxmy").err
    assert dxbench("check-method", "dxmi", "--task", "gaussian8").code == 2
    ended = dxbench("check-method", "dxmi", "--set", "taux=1")
    assert ended.code == 2
    assert "taux" in ended.err


def test_a_method_that_cannot_run_here_is_nothing_measured(dxbench: Callable[..., Ended]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    ended = dxbench("check-method", method("NeedsGPU"))
    assert ended.code == 6
    assert "needs a CUDA device" in ended.err


def test_compute_reaches_the_method_as_asked() -> None:
    seen: list[Compute] = []

    class Looks(Good):
        """Notes its compute."""

        def start(self, problem, config, *, compute, rng):  # type: ignore[no-untyped-def]
            seen.append(compute)
            return super().start(problem, config, compute=compute, rng=rng)

    check_method(Looks, synthetic_problem((2,)), Good.Config())
    assert {compute.device for compute in seen} >= {"cpu"}
