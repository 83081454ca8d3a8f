"""dxbench: a benchmark suite for few-step diffusion samplers and energy-based models."""

__version__ = "0.1.0"
