"""Policy to trajectory, with and without guidance of every step."""

from collections import deque
from collections.abc import Callable, Iterator

import torch

from dxmi.arrays import ClassLabels, Points
from dxmi.sampling.noise import Noise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.trajectory import Trajectory

Guidance = Callable[[Points, int, float], Points]


def chain(
    policy: GaussianPolicy,
    noise: Noise,
    *,
    start: Points | None = None,
    labels: ClassLabels | None = None,
    guidance: Guidance | None = None,
) -> Iterator[Points]:
    """The states x_0, x_1, ..., x_K of ancestral sampling, one at a time and without gradient.

    x_0 is `start`, or the policy's own, `policy.start(noise.normal(0))`, where none is given.
    """
    x = policy.start(noise.normal(0)) if start is None else start
    yield x
    stds = policy.step_log_stds().exp().tolist()
    for step, std in enumerate(stds):
        # Inside the loop, not as a decorator: a caller's code between two states keeps its own gradient mode.
        with torch.no_grad():
            k = x.new_full((len(x),), step, dtype=torch.int64)
            x = policy.draw(x, k, noise.normal(step + 1), labels)
            if guidance is not None:
                x = guidance(x, step, std)
        yield x


def rollout(
    policy: GaussianPolicy,
    noise: Noise,
    *,
    start: Points | None = None,
    labels: ClassLabels | None = None,
    guidance: Guidance | None = None,
) -> Trajectory:
    """All states of a chain."""
    states = chain(policy, noise, start=start, labels=labels, guidance=guidance)
    return Trajectory(states=torch.stack(list(states)), labels=labels)


def reparametrised_rollout(policy: GaussianPolicy, noise: Noise) -> Trajectory:
    """Roll out as `rollout` does, with the graph of the whole chain kept, for back-propagation through every step."""
    states = [policy.start(noise.normal(0))]
    for step in range(policy.num_steps):
        k = states[-1].new_full((len(states[-1]),), step, dtype=torch.int64)
        states.append(policy.draw(states[-1], k, noise.normal(step + 1)))
    return Trajectory(states=torch.stack(states))


def sample(
    policy: GaussianPolicy, noise: Noise, *, labels: ClassLabels | None = None, guidance: Guidance | None = None
) -> Points:
    """The last state of a chain; the earlier ones are not kept."""
    (last,) = deque(chain(policy, noise, labels=labels, guidance=guidance), maxlen=1)
    return last
