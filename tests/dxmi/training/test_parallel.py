"""A batch spread over processes and micro-batches trains as one that is not."""

import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from dxmi.algorithms.dxmi import DxMIUpdate
from dxmi.algorithms.sweeps import batched_sweep, sequential_sweep
from dxmi.energies.values import SeparateEnergy, SharedValue
from dxmi.nets.mlp import StepMLP
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.schedules.levels import VPSchedule
from dxmi.training.costs import RunningCost, VelocityVariance, velocity_of_noise
from dxmi.training.denoising import DDPMLoss, DenoiserTraining
from dxmi.training.optimisers import OptimizedModule
from dxmi.training.parallel import ONE_PROCESS, Parallel

BATCH, DIM, STEPS = 11, 3, 3


@dataclass
class World:
    """Threads that stand for processes."""

    size: int
    micro: int
    slots: dict[int, list[Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.size)

    def run(self, work: Callable[[Parallel], dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        """What `work` gives in each process."""
        results: list[dict[str, Tensor]] = [{} for _ in range(self.size)]

        def enter(rank: int) -> None:
            try:
                results[rank] = work(Member(self, rank))
            except BaseException:
                self.barrier.abort()
                raise

        threads = [threading.Thread(target=enter, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


@dataclass
class Member:
    """One of them; its rows are uneven shares, its micro-batches too."""

    world: World
    rank: int

    def rows(self, batch_size: int) -> slice:
        cuts = [batch_size * i // self.world.size for i in range(self.world.size + 1)]
        return slice(cuts[self.rank], cuts[self.rank + 1])

    def micro_batches(self, num_rows: int) -> Sequence[slice]:
        cuts = [num_rows * i // self.world.micro for i in range(self.world.micro + 1)]
        return [slice(a, b) for a, b in itertools.pairwise(cuts)]

    def sum(self, tensors: Sequence[Tensor]) -> None:
        self.world.slots[self.rank] = [tensor.clone() for tensor in tensors]
        self.world.barrier.wait()
        for i, tensor in enumerate(tensors):
            tensor.copy_(sum(self.world.slots[rank][i] for rank in range(self.world.size)))
        self.world.barrier.wait()

    def autocast(self) -> AbstractContextManager[object]:
        return nullcontext()

    def scaler(self) -> GradScaler:
        return GradScaler("cpu", enabled=False)


def net(dim_out: int, levels: int, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return StepMLP(dim_in=DIM, dim_out=dim_out, num_levels=levels, hidden=8, depth=1, generator=generator).double()


def normal(rows: int, generator: torch.Generator) -> StreamNoise:
    return StreamNoise(batch_size=rows, event_shape=(DIM,), generator=generator, dtype=torch.float64)


def dxmi(parallel: Parallel, *, separate: bool, sequential: bool) -> dict[str, Tensor]:
    """Weights, velocities and scalars after a few iterations."""
    std = torch.full((STEPS,), 0.5, dtype=torch.float64)
    policy = GaussianPolicy.from_scratch(net(DIM, STEPS, 1), event_shape=(DIM,), std=std, trainable_std=[True] * STEPS)
    policy = policy.double()
    value = SharedValue(net(1, STEPS + 1, 2), num_steps=STEPS)
    if separate:
        energy = SharedValue(net(1, 1, 3), num_steps=0)
        value = SeparateEnergy(_Energy(energy), net(1, STEPS, 4), num_steps=STEPS)
    sweep = (sequential_sweep if sequential else batched_sweep)(STEPS)
    cost = RunningCost(tau_entropy=0.1, tau_velocity=0.1, num_steps=STEPS)

    def trainee(module: nn.Module) -> OptimizedModule:
        optimiser = torch.optim.Adam(module.parameters(), lr=1e-2, betas=(0.5, 0.9))
        return OptimizedModule(module=module, optimizer=optimiser, max_grad_norm=0.5, parallel=parallel)

    update = DxMIUpdate(
        policy=trainee(policy),
        value=trainee(value),
        policy_cost=cost,
        value_cost=cost,
        gamma=1.0,
        velocity=VelocityVariance(velocity_of_noise(policy), decay=0.9),
        sweep=sweep,
    )
    generator = torch.Generator().manual_seed(5)
    update.evaluate_policy(normal(BATCH, generator).normal(0) + 1.0, normal(BATCH, generator))
    scalars: dict[str, Tensor] = {}
    for _ in range(4):
        data = normal(BATCH, generator).normal(0) + 1.0
        scalars = update(data, normal(BATCH, generator), normal(STEPS * BATCH, generator))
    weights = {**policy.state_dict(), **{f"value {k}": v for k, v in value.state_dict().items()}}
    return {**weights, "velocity": update.velocity.var, **scalars}


class _Energy(nn.Module):
    """An energy as a net of one argument."""

    def __init__(self, energy: SharedValue) -> None:
        super().__init__()
        self.inner = energy

    def forward(self, x: Tensor) -> Tensor:
        return self.inner.energy(x)[:, None]


def ddpm(parallel: Parallel) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(6)
    training = DenoiserTraining(
        net(DIM, STEPS, 7),
        DDPMLoss(schedule=VPSchedule.linear(STEPS)),
        data=lambda: normal(BATCH, generator).normal(0) + 1.0,
        noise=normal(BATCH, generator),
        iterations=4,
        lr=1e-2,
        ema_decay=0.9,
        parallel=parallel,
    )
    losses = [training.step() for _ in range(4)]
    return {**training.average.state_dict(), "loss": losses[-1]}


WORKS: dict[str, Callable[[Parallel], dict[str, Tensor]]] = {
    "dxmi": lambda parallel: dxmi(parallel, separate=False, sequential=False),
    "dxmi, step by step": lambda parallel: dxmi(parallel, separate=False, sequential=True),
    "dxmi, energy of its own": lambda parallel: dxmi(parallel, separate=True, sequential=False),
    "ddpm": ddpm,
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
@pytest.mark.parametrize(("processes", "micro"), [(1, 3), (2, 1), (3, 2)])
def test_training_is_the_same_however_the_batch_is_spread(
    work: Callable[[Parallel], dict[str, Tensor]], processes: int, micro: int
) -> None:
    whole = work(ONE_PROCESS)
    for spread in World(processes, micro).run(work):
        assert spread.keys() == whole.keys()
        for name, tensor in whole.items():
            torch.testing.assert_close(spread[name], tensor, rtol=1e-9, atol=1e-11, msg=name)


def test_without_the_sum_over_processes_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above can fail."""
    monkeypatch.setattr(Member, "sum", lambda self, tensors: None)
    whole = WORKS["dxmi"](ONE_PROCESS)
    first, second = World(2, 1).run(WORKS["dxmi"])
    assert not torch.allclose(first["velocity"], second["velocity"])
    assert not torch.allclose(first["net.output.weight"], whole["net.output.weight"], rtol=1e-6)
