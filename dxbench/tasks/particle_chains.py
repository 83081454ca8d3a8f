"""Long Hamiltonian chains of the Lennard-Jones cluster, whose law nobody can draw exactly.

Chains of Hamiltonian Monte Carlo (Neal 2011, arXiv:1206.1901) begin at the icosahedron, forget it in `BURN_IN` steps,
and give a draw every `SPACING` steps; docs/tasks/boltzmann.md has the checks that they agree with chains from a random
gas and that draws of one chain do not know of each other. Computed in float64 by sums and products in a fixed order, so
that two machines give the same draws.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PARTICLES, CHAINS, BURN_IN, SPACING = 13, 250, 150, 30
LEAPFROG_STEPS, STEP_SIZE = 20, 0.025


def cluster_energy(x: Array) -> tuple[Array, Array]:
    """U [c] and its gradient [13, 3, c] at positions [13, 3, c] of centre 0."""
    energy = 0.5 * _summed(x * x)
    gradient = x.copy()
    for shift in range(1, PARTICLES // 2 + 1):  # each pair once: 13 is odd
        apart = x - np.roll(x, shift, axis=0)
        inverse = 1 / (apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1] + apart[:, 2] * apart[:, 2])
        sixth = inverse * inverse * inverse
        energy += 2 * np.add.reduce(sixth * (sixth - 2), axis=0)
        force = (-24 * (sixth - 1) * sixth * inverse)[:, None] * apart
        gradient += force - np.roll(force, -shift, axis=0)
    return energy, gradient


def _summed(x: Array) -> Array:
    """The sum over particles and axes, [c]."""
    return np.asarray(np.add.reduce(x.reshape(-1, x.shape[-1]), axis=0))


def centred(x: Array) -> Array:
    """Positions or momenta with their mean over particles taken off."""
    return np.asarray(x - np.add.reduce(x, axis=0) / PARTICLES)


def icosahedron(chains: int) -> Array:
    """The cluster of least energy without the trap, one particle amid twelve at distance 0.97, [13, 3, chains]."""
    golden = (1 + 5**0.5) / 2
    corners = [np.roll([0.0, a, b * golden], turn) for a in (1, -1) for b in (1, -1) for turn in range(3)]
    shell = 0.97 / np.sqrt(1 + golden**2) * np.array(corners)
    return np.repeat(np.concatenate([np.zeros((1, 3)), shell])[:, :, None], chains, axis=2)


def hamiltonian_step(x: Array, rng: np.random.Generator) -> Array:
    """One step of each chain: a momentum of unit mass and mean 0, leapfrog steps of a length drawn anew, a decision."""
    energy, gradient = cluster_energy(x)
    momentum = centred(rng.standard_normal(x.shape))
    decision, length = np.log(rng.random(x.shape[-1])), STEP_SIZE * rng.uniform(0.8, 1.2)
    before = energy + 0.5 * _summed(momentum * momentum)
    y = x
    with np.errstate(all="ignore"):  # a proposal that flies apart is refused
        for _ in range(LEAPFROG_STEPS):
            momentum = momentum - 0.5 * length * gradient
            y = y + length * momentum
            energy, gradient = cluster_energy(y)
            momentum = momentum - 0.5 * length * gradient
        take = decision < before - energy - 0.5 * _summed(momentum * momentum)
    return np.where(take, y, x)


def chained(n: int, rng: np.random.Generator) -> Array:
    """n draws, [n, 13, 3], of `CHAINS` chains."""
    x = icosahedron(CHAINS)
    for _ in range(BURN_IN):
        x = hamiltonian_step(x, rng)
    draws = [x]
    while len(draws) * CHAINS < n:
        for _ in range(SPACING):
            x = hamiltonian_step(x, rng)
        draws.append(x)
    return np.concatenate([centred(each).transpose(2, 0, 1) for each in draws])[:n]
