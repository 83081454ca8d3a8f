"""Update rules."""

from dxmi.algorithms.dxmi import DxDPUpdate, DxMIUpdate
from dxmi.algorithms.gap import GapWatch
from dxmi.algorithms.learner import DxMILearner, Rates
from dxmi.algorithms.sweeps import PolicySweep, ShuffledSteps, StepGroups, batched_sweep, sequential_sweep

__all__ = [
    "DxDPUpdate",
    "DxMILearner",
    "DxMIUpdate",
    "GapWatch",
    "PolicySweep",
    "Rates",
    "ShuffledSteps",
    "StepGroups",
    "batched_sweep",
    "sequential_sweep",
]
