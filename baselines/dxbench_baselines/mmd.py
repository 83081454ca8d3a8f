"""MMD finetuning: a few-step DDIM brought to the data by a kernel (Aiello et al. 2023, arXiv:2301.07969).

The sampler is DDIM in few whole steps of a DDPM (arXiv:2010.02502). Its samples are compared with data by the unbiased
squared maximum mean discrepancy, and the gradient runs back through the whole chain. No critic, no teacher at work.
**Coupled to its metric**: it descends a distance between sets of samples, as boards score them. Judge it by metrics
that it does not descend, such as outliers, or precision and recall. Deviations: the kernel is of the points
themselves, where the source takes KID's cubic one in Inception's features, which this suite keeps for scoring; in the
plane it is a sum of Gaussians, since a cubic kernel sees three moments and nothing else; Adam's rate falls along a
cosine, and weights are averaged; in the plane and on small images the start is trained first.
"""

from copy import deepcopy
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import prepared
from dxbench_baselines.starts.config import WholeStepsConfig
from dxbench_baselines.starts.models import model_of
from dxbench_baselines.starts.stages import Tuning
from dxmi.models import DenoiserSampler
from dxmi.sampling.samplers import euler
from dxmi.training.kernels import AnyKernel, GaussianKernel, unbiased_mmd2
from dxmi.training.optimisers import Learner


class MMDConfig(WholeStepsConfig):
    """Settings of finetuning by the maximum mean discrepancy."""

    samples_only = False

    num_steps: int = Field(default=5, ge=2, description="sampling steps = NFE")
    kernels: tuple[AnyKernel, ...] = Field(
        default=tuple(GaussianKernel(width=width) for width in (0.05, 0.15, 0.5)),
        min_length=1,
        description="they are added; points in the plane have a std of 0.5",
    )
    iterations: PositiveInt = 1500
    batch_size: int = Field(default=256, ge=2, description="samples, and as many data, that are compared")
    lr: PositiveFloat = 3e-4
    lr_decay: Literal["cosine", "none"] = "cosine"
    max_grad_norm: PositiveFloat = Field(default=1.0, description="of the gradient through the chain")
    ema_decay: float = Field(default=0.99, ge=0, lt=1)


class MMD(Method):
    """A few-step DDIM finetuned by the maximum mean discrepancy, a distance of samples: coupled to its metric."""

    name = "mmd"
    version = 1
    family = "kernel matching"
    citation = "Aiello et al. 2023, arXiv:2301.07969"
    recipes = ".recipes.mmd"
    Config = MMDConfig

    def start(self, problem: Problem, config: MMDConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return MMDTraining(problem, config, compute, rng)


class MMDTraining(Tuning):
    """A DDPM first, then its few steps against the data; the averaged weights sample."""

    def __init__(self, problem: Problem, config: MMDConfig, compute: Compute, rng: RandomStreams) -> None:
        begun, size = config.begin(problem, compute, rng), config.batch_size
        super().__init__(problem, begun, compute, rng, batch_size=size, iterations=config.iterations)
        self.config, network = config, config.backbone.network
        self.before = network.denoiser(begun.average)
        self.levels = config.vp_schedule().noise_levels
        self.denoiser = network.denoiser(prepared(network, deepcopy(begun.net), compute))
        self.student = Learner(
            self.denoiser,
            lr=config.lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            lr_decay=config.lr_decay,
            max_grad_norm=config.max_grad_norm,
        )

    def parts(self) -> dict[str, Learner]:
        return {"student": self.student}

    def begin(self) -> None:
        self.student.begin_from(self.before.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        (data,) = self.begun.data.batch(self.config.batch_size, rng=self.data_rng)
        samples = euler()(self.denoiser, self.levels, self.noise)
        discrepancy = torch.stack([unbiased_mmd2(samples, data, kernel) for kernel in self.config.kernels]).sum()
        return {"mmd2": self.student.descend(discrepancy)}

    def model(self) -> Model:
        return replace(self._model_of(self.student.average), start=self._model_of(self.before))

    def _model_of(self, denoiser: nn.Module) -> Model:
        sampler = DenoiserSampler(
            denoiser=denoiser,
            sampler=euler(),
            levels=self.levels,
            event_shape=self.problem.event_shape,
            scale=self.begun.data.scale,
        )
        return model_of(sampler, self.begun.data)
