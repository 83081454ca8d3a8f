"""Every recipe of CIFAR-10, ImageNet and LSUN at its real size, on tensors without data (the meta device)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from dxbench_baselines.edm import RetimedDenoiser
from dxbench_baselines.starts.stages import SampledDenoiser
from formula_weights import official_shapes
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Problem, Training
from dxbench.conformance.devices import MetaStreams
from dxbench.conformance.problems import TwoBlobs
from dxbench.plugins.configure import configure, presets
from dxbench.plugins.registry import load_method, load_task
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.lpips import STAGES
from dxmi.nets.unet import UNet

METHODS = (
    "consistency", "ddim", "ddpm", "distribution_matching", "dxmi", "ect", "edm", "fastdpm", "flow",
    "gan_finetune", "meanflow", "sft_pg", "sid",
)  # fmt: skip
# Weights of an average velocity that take in its length: 5 features to each of DDPM++'s 128 of time.
OWN_PARAMETERS = {"meanflow": 5 * 128 - 9 * 128}
TASKS = ("cifar10", "cifar10_jpeg75", "imagenet64", "lsun_bedroom")
SHAPES = {"imagenet64": (3, 64, 64), "lsun_bedroom": (3, 256, 256)}
PARAMETERS = {
    "fastdpm_cifar10": 35_746_307,
    "ddgan_cifar10": 48_432_515,
    "edm_ddpmpp": 55_733_891,
    "edm_ncsnpp": 56_397_827,
    "edm_adm": 295_899_267,
    "cm_imagenet64": 295_899_267,
    "cm_lsun256": 526_304_771,
}
# Critics and values: DxMI's energy net; SFT-PG's f and v, as counted in the released networks.
JUDGES = {
    "dxmi": lambda run: [run.learner.value],
    "gan_finetune": lambda run: [run.energy],
    "sft_pg": lambda run: [run.cost, run.baseline],
}
JUDGED = {"dxmi": [5_134_595], "gan_finetune": [5_134_595], "sft_pg": [2_636_673, 4_482_049]}


def layout(task: str, weights: str | None) -> str:
    """The official network of a task's weights; for those that nobody has released, EDM's own."""
    if weights is None:
        return "edm_adm" if task == "imagenet64" else "edm_ddpmpp"
    named = {"ddpm": "fastdpm_cifar10", "ddgan": "ddgan_cifar10", "edm-ve": "edm_ncsnpp", "edm-nvidia": "edm_adm"}
    of_task = {"imagenet64": "cm_imagenet64", "lsun_bedroom": "cm_lsun256"}
    default = "fastdpm_cifar10" if weights.startswith("dxmi-") else "edm_ddpmpp"
    return named.get(weights) or of_task.get(task, default)


def different(name: str) -> dict[tuple[str, str], Config]:
    """The big recipes of a method, each setting once; what lsun_bedroom has of all images alike is none of its own.

    Presets for a GPU's minutes have a network of their own and are not big.
    """
    method, found = load_method(name), dict[tuple[str, str], Config]()
    for task in map(load_task, TASKS):
        for preset, place in presets(method, task).items():
            own = place in (task.name, "images/cifar10") or task.name == "cifar10_jpeg75"
            config = configure(method, task, preset, {})
            if (
                own
                and place
                and preset not in ("quick", "gpu")
                and config not in [c for (of, _), c in found.items() if of == task.name]
            ):
                found[task.name, preset] = config
    return found


CASES = [
    pytest.param(name, task, preset, id=f"{name}-{task}-{preset}")
    for name in METHODS
    for task, preset in different(name)
]


@dataclass(frozen=True)
class Released:
    """The names and shapes of the released files, at full size."""

    task: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(load_task(self.task).pretrained_assets)

    def require(self, name: str) -> None:
        assert name in self.names, name

    def load(self, name: str) -> Mapping[str, Tensor]:
        self.require(name)
        return {key: torch.empty(shape, device="meta") for key, shape in self.shapes(name).items()}

    def shapes(self, name: str) -> Mapping[str, tuple[int, ...]]:
        if name == "vgg16":
            return vgg16_shapes()
        if name == "lpips":
            return {f"lin{level}.model.1.weight": (1, cout, 1, 1) for level, (cout, _) in enumerate(STAGES)}
        stds = {"log_betas": (int(name.removeprefix("dxmi-t")),)} if name.startswith("dxmi-t") else {}
        return {**official_shapes(layout(self.task, name)), **stds}


def vgg16_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    cin = 3
    for cout, places in STAGES:
        for place in places:
            shapes |= {f"features.{place}.weight": (cout, cin, 3, 3), f"features.{place}.bias": (cout,)}
            cin = cout
    return shapes


@pytest.fixture(autouse=True)
def no_data_in_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are made on the meta device from the first, so that gigabytes are neither drawn nor moved."""
    for kind in (UNet, DDGANGenerator):
        make = kind.__init__

        def on_meta(self: nn.Module, *arguments: Any, make: Callable[..., None] = make, **options: Any) -> None:
            with torch.device("meta"):
                make(self, *arguments, **options)

        monkeypatch.setattr(kind, "__init__", on_meta)


def started(name: str, task: str, preset: str) -> tuple[Training, Config, type[Method]]:
    method = load_method(name)
    config = configure(method, load_task(task), preset, {})
    shape = SHAPES.get(task, (3, 32, 32))
    problem = Problem(
        task=task,
        event_shape=shape,
        data=TwoBlobs(event_shape=shape),
        data_std=0.5,
        num_classes=load_task(task).num_classes,
        pretrained=None if task == "cifar10_jpeg75" else Released(task),
    )
    rng, compute = MetaStreams(name, task), Compute(device="meta", threads=1)
    return method().start(problem, config, compute=compute, rng=rng), config, method


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("name", "task", "preset"), CASES)
def test_a_recipe_builds_at_its_real_size_from_what_was_released(name: str, task: str, preset: str) -> None:
    training, config, method = started(name, task, preset)
    run: Any = training
    backbone: Any = getattr(config, "backbone")  # noqa: B009
    # Levels are chosen by what the network gives, which tensors without data do not tell: Karras's stand in.
    model = SampledDenoiser.model(run) if isinstance(run, RetimedDenoiser) else run.model()
    (net, *_) = model.networks
    assert count(net) == PARAMETERS[layout(task, backbone.weights)] + OWN_PARAMETERS.get(name, 0)
    assert {p.device.type for p in net.parameters()} == {"meta"}
    assert model.num_classes == (1000 if task == "imagenet64" else None)
    if name in JUDGES and run.total_steps:
        assert [count(judge) for judge in JUDGES[name](run)] == JUDGED[name]
    begins_from = method.pretrained(config)
    assert set(begins_from) <= set(Released(task).names) or not begins_from
    own_steps = getattr(config, "iterations", 0)
    assert run.total_steps == own_steps + (0 if backbone.weights in begins_from else backbone.pretraining.iterations)
