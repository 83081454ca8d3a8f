"""Training in two stages: order, hand-over, resume, and a start that was found."""

import pytest
import torch
from dxbench_baselines.starts.stages import StagedTraining
from torch import Tensor, nn


class Count:
    """A start that counts to `iterations`."""

    def __init__(self, iterations: int) -> None:
        self.iterations, self.done = iterations, 0

    @property
    def finished(self) -> bool:
        return self.done >= self.iterations

    def step(self) -> Tensor:
        self.done += 1
        return torch.tensor(float(self.done))

    def state_dict(self) -> dict[str, int]:
        return {"iterations": self.iterations, "done": self.done}

    def load_state_dict(self, state: dict[str, int], /) -> None:
        self.iterations, self.done = state["iterations"], state["done"]


class Doubling(StagedTraining):
    """Takes over the start's count, then doubles it."""

    def __init__(self, start: Count | None, iterations: int = 3) -> None:
        self.begun = 0
        self.value = nn.Module()
        self.value.register_buffer("number", torch.ones(()))
        super().__init__(start, iterations=iterations)

    def parts(self) -> dict[str, nn.Module]:
        return {"value": self.value}

    def begin(self) -> None:
        self.begun += 1
        if self.start is not None:
            self.value.number.fill_(float(self.start.done))

    def advance(self) -> dict[str, Tensor]:
        self.value.number.mul_(2)
        return {"number": self.value.number.clone()}

    def model(self) -> object:
        return self.value


def run(training: StagedTraining, steps: int) -> list[dict[str, float]]:
    return [{name: float(value) for name, value in training.step().items()} for _ in range(steps)]


WHOLE = [{"denoising_loss": 1.0}, {"denoising_loss": 2.0}, {"number": 4.0}, {"number": 8.0}, {"number": 16.0}]


def test_the_start_comes_first_and_hands_over_once():
    training = Doubling(Count(2))
    assert training.total_steps == 5
    assert run(training, 5) == WHOLE
    assert training.begun == 1


@pytest.mark.parametrize("cut", range(6))
def test_resumed_equals_uninterrupted_at_every_cut(cut):
    first = Doubling(Count(2))
    before = run(first, cut)
    second = Doubling(Count(2))
    second.load_state_dict(first.state_dict())
    assert before + run(second, 5 - cut) == WHOLE


def test_a_checkpoint_made_before_the_start_was_found_goes_on_with_it():
    first = Doubling(Count(2))
    run(first, 1)
    second = Doubling(Count(0))
    second.load_state_dict(first.state_dict())
    assert run(second, 4) == WHOLE[1:]


@pytest.mark.parametrize(("start", "value"), [(None, 8.0), (Count(0), 0.0)], ids=["none", "found"])
def test_without_a_start_to_train_the_second_stage_is_all(start, value):
    training = Doubling(start)
    assert training.total_steps == 3
    assert run(training, 3)[-1] == {"number": value}


def test_a_method_that_trains_nothing_of_its_own_has_no_step_beyond_the_start():
    class Alone(StagedTraining):
        def model(self) -> object:
            return self.start

    training = Alone(Count(1))
    assert training.total_steps == 1
    training.step()
    with pytest.raises(RuntimeError, match="nothing to train"):
        training.step()
