"""The start that `fashion_mnist` ships: its file, the network that it fits, and that it denoises."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from dxbench_baselines.starts import GARMENT_DDPM, official
from torch import Tensor

from dxbench.api import Compute, Problem
from dxbench.assets import PretrainedFiles
from dxbench.assets.catalogue import FASHION_STARTS
from dxbench.errors import InvalidFile, MissingData
from dxbench.files import weights
from dxbench.tasks.fashion_data import fashion_splits
from dxbench.tasks.fashion_mnist import FashionMNIST

CPU = Compute(device="cpu", threads=1)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return FashionMNIST().problem(oracle=False)


def test_what_ships_is_the_network_of_the_recipes_in_the_suites_own_layout(problem: Problem) -> None:
    start = official(GARMENT_DDPM, problem, CPU)
    kept = weights.read(FASHION_STARTS["ddpm"].verify())
    assert start.training.iterations == 0
    state = start.net.state_dict()
    assert state.keys() == kept.keys()
    assert all(torch.equal(state[name], kept[name].float()) for name in kept)
    assert all(tensor.dtype == torch.float16 for tensor in kept.values())
    assert sum(tensor.numel() for tensor in kept.values()) == 1_468_257


def test_a_file_that_was_changed_is_refused_and_one_that_is_gone_names_the_remedy(tmp_path: Any) -> None:
    shipped = FASHION_STARTS["ddpm"]
    copy = tmp_path / "ddpm.safetensors"
    content = bytearray(shipped.require().read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    with pytest.raises(InvalidFile, match="wanted sha256"):
        PretrainedFiles(task="fashion_mnist", files={"ddpm": replace(shipped, path=str(copy))}).load("ddpm")
    copy.unlink()
    with pytest.raises(MissingData, match="trained for the suite"):
        PretrainedFiles(task="fashion_mnist", files={"ddpm": replace(shipped, path=str(copy))}).require("ddpm")


def test_a_network_of_another_size_is_refused(problem: Problem) -> None:
    other = replace(GARMENT_DDPM, network=replace(GARMENT_DDPM.network, width=64))
    with pytest.raises(ValueError, match="leave the network as the recipe has it, or set init=train"):
        official(other, problem, CPU)


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
    try:
        unseen = fashion_splits()["validation"].images[:32]
    except MissingData as reason:
        pytest.skip(str(reason))
    images = torch.from_numpy(unseen.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
    noise, said = noise_of(official(GARMENT_DDPM, problem, CPU).average, images, step)
    assert (said - noise).square().mean() < most
