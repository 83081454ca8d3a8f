"""Training: optimised modules, parallel batches, losses of denoisers and policies."""

from dxmi.training.costs import (
    TIME_COSTS,
    RunningCost,
    StepCost,
    TimeCost,
    ValueCostName,
    VelocityVariance,
    linear_time_cost,
    no_time_cost,
    observed_velocity,
    sigmoid_time_cost,
    value_cost,
    velocity_of_noise,
)
from dxmi.training.denoising import (
    DDPMLoss,
    DenoiserTraining,
    DenoisingLoss,
    EDMLoss,
    denoising_loss,
    drawn_steps,
    edm_loss,
    lognormal_sigmas,
    noised,
)
from dxmi.training.optimisers import Learner, OptimizedModule, ema, make_optimizer
from dxmi.training.parallel import ONE_PROCESS, OneProcess, Parallel
from dxmi.training.policy_gradient import centred, critic_loss, policy_gradient_loss

__all__ = [
    "ONE_PROCESS",
    "TIME_COSTS",
    "DDPMLoss",
    "DenoiserTraining",
    "DenoisingLoss",
    "EDMLoss",
    "Learner",
    "OneProcess",
    "OptimizedModule",
    "Parallel",
    "RunningCost",
    "StepCost",
    "TimeCost",
    "ValueCostName",
    "VelocityVariance",
    "centred",
    "critic_loss",
    "denoising_loss",
    "drawn_steps",
    "edm_loss",
    "ema",
    "linear_time_cost",
    "lognormal_sigmas",
    "make_optimizer",
    "no_time_cost",
    "noised",
    "observed_velocity",
    "policy_gradient_loss",
    "sigmoid_time_cost",
    "value_cost",
    "velocity_of_noise",
]
