"""Schedules: noise levels, and chains of steps along them."""

from dxmi.schedules.chains import NEWTON_STEPS, Chain, LinearChain, SDEChain
from dxmi.schedules.levels import NoiseLevels, VPSchedule, karras_sigmas, vp_sde_log_alpha_bar

__all__ = [
    "NEWTON_STEPS",
    "Chain",
    "LinearChain",
    "NoiseLevels",
    "SDEChain",
    "VPSchedule",
    "karras_sigmas",
    "vp_sde_log_alpha_bar",
]
