"""The starts that `fashion_mnist` ships: their files, the networks that they fit, and that they denoise."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from dxbench_baselines.starts import GARMENT_DDPM, GARMENT_EDM, official
from torch import Tensor

from dxbench.api import Compute, Problem
from dxbench.assets import PretrainedFiles
from dxbench.assets.catalogue import FASHION_STARTS
from dxbench.errors import InvalidFile, MissingData
from dxbench.files import weights
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method
from dxbench.tasks.fashion_data import fashion_splits
from dxbench.tasks.fashion_mnist import FashionMNIST

CPU = Compute(device="cpu", threads=1)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return FashionMNIST().problem(oracle=False)


@pytest.mark.parametrize(
    ("name", "backbone", "parameters"), [("ddpm", GARMENT_DDPM, 1_468_257), ("edm", GARMENT_EDM, 1_579_905)]
)
def test_what_ships_is_the_network_of_the_recipes_in_the_suites_own_layout(
    problem: Problem, name: str, backbone: Any, parameters: int
) -> None:
    start = official(backbone, problem, CPU)
    kept = weights.read(FASHION_STARTS[name].verify())
    assert start.training.iterations == 0
    state = start.net.state_dict()
    assert state.keys() == kept.keys()
    assert all(torch.equal(state[name], kept[name].float()) for name in kept)
    assert all(tensor.dtype == torch.float16 for tensor in kept.values())
    assert sum(tensor.numel() for tensor in kept.values()) == parameters


@pytest.mark.parametrize(
    ("name", "remedy"), [("ddpm", "install that again"), ("edm", "of a checkout or of the source")]
)
def test_a_file_that_was_changed_is_refused_and_one_that_is_gone_names_the_remedy(
    tmp_path: Any, name: str, remedy: str
) -> None:
    shipped, copy = FASHION_STARTS[name], tmp_path / "start.safetensors"
    content = bytearray(shipped.require().read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    there = PretrainedFiles(task="fashion_mnist", files={name: replace(shipped, path=str(copy), also=())})
    with pytest.raises(InvalidFile, match="wanted sha256"):
        there.load(name)
    copy.unlink()
    with pytest.raises(MissingData, match=r"trained for the suite.*`dxbench prepare --task fashion_mnist`"):
        there.require(name)


@pytest.mark.parametrize(
    "name",
    [
        "adjoint_matching",
        "consistency",
        "ddim",
        "ddpm",
        "distribution_matching",
        "dxmi",
        "ect",
        "edm",
        "fastdpm",
        "gan_finetune",
        "gcd",
        "sft_pg",
        "sid",
    ],
)
def test_methods_begin_from_what_ships_unless_told_to_train_one(name: str) -> None:
    config: Any = configure(load_method(name), FashionMNIST(), "default", {})
    assert config.init == "official"
    assert set(config.official_weights()) <= FASHION_STARTS.keys()


def test_a_network_of_another_size_is_refused(problem: Problem) -> None:
    other = replace(GARMENT_DDPM, network=replace(GARMENT_DDPM.network, width=64))
    with pytest.raises(ValueError, match="leave the network as the recipe has it, or set init=train"):
        official(other, problem, CPU)


def unseen_images() -> Tensor:
    """32 images of the validation split, in [-1, 1]."""
    try:
        unseen = fashion_splits()["validation"].images[:32]
    except MissingData as reason:
        pytest.skip(str(reason))
    return torch.from_numpy(unseen.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1


def noise_of(start: torch.nn.Module, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """The noise that is in images at a step of the chain, and what the network takes it for."""
    alpha_bar = GARMENT_DDPM.network.chain.step_linear(1000).alpha_bar[999 - step]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(step))
    noisy = alpha_bar.sqrt() * images + (1 - alpha_bar).sqrt() * noise
    with torch.no_grad():
        return noise, start(noisy.float(), torch.full((len(images),), float(step)))


@pytest.mark.parametrize(("step", "most"), [(50, 0.25), (200, 0.08), (600, 0.02)])
def test_the_shipped_ddpm_knows_the_noise_in_images_that_it_has_not_seen(
    problem: Problem, step: int, most: float
) -> None:
    images = unseen_images()
    noise, said = noise_of(official(GARMENT_DDPM, problem, CPU).average, images, step)
    assert (said - noise).square().mean() < most


@pytest.mark.parametrize(("sigma", "most"), [(0.05, 0.0014), (0.5, 0.02), (2.0, 0.1)])
def test_the_shipped_edm_finds_images_that_it_has_not_seen_under_noise(
    problem: Problem, sigma: float, most: float
) -> None:
    images = unseen_images()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(round(100 * sigma)))
    start = official(GARMENT_EDM, problem, CPU)
    denoiser = GARMENT_EDM.network.denoiser(start.average)
    with torch.no_grad():
        found = denoiser(images + sigma * noise, torch.full((len(images),), sigma))
    assert (found - images).square().mean() < most
