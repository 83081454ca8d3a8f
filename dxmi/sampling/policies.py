"""Gaussian sampling policies."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dxmi.arrays import PerSample, PerStep, Points, StepIndex, per_sample
from dxmi.nets.steps import InUnits
from dxmi.schedules.levels import NoiseLevels, VPSchedule


class GaussianPolicy(nn.Module):
    """x_{k+1} = a_k x_k + g_k net(x_k, k) + std_k eps (DxMI Eq. 1, arXiv:2407.00626, mu = g_k net).

    a_k and g_k are fixed by the start (a diffusion schedule, or 1); std_k is learned in the log, except
    where `trainable_std` is False, so that std_k stays as it began. x_0 ~ N(0, start_std^2 I). Where the net is
    conditioned on something besides x and k, such as class labels, methods take it as `given`.

    Raises:
        ValueError: if the per-step sequences differ in length or a std is not positive.
    """

    scale: Tensor
    gain: Tensor
    std_is_trainable: Tensor
    start_log_std: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        event_shape: Sequence[int],
        scale: PerStep,
        gain: PerStep,
        std: PerStep,
        trainable_std: Sequence[bool],
        start_std: float = 1.0,
    ) -> None:
        super().__init__()
        if not len(scale) == len(gain) == len(std) == len(trainable_std):
            raise ValueError("scale, gain, std and trainable_std need one entry per step")
        if not bool((std > 0).all()):
            raise ValueError(f"std must be positive at every step, got {std.tolist()}; give the last step a floor")
        self.net = net
        self.event_shape = tuple(event_shape)
        self.start_std = start_std
        self.register_buffer("scale", scale.float(), persistent=False)
        self.register_buffer("gain", gain.float(), persistent=False)
        self.register_buffer("std_is_trainable", torch.tensor(trainable_std), persistent=False)
        log_std = std.double().log().float()
        self.register_buffer("start_log_std", log_std, persistent=False)
        self.learned_log_std = nn.Parameter(log_std.clone())

    @classmethod
    def from_scratch(
        cls, net: nn.Module, *, event_shape: Sequence[int], std: PerStep, trainable_std: Sequence[bool]
    ) -> "GaussianPolicy":
        """Residual steps x_{k+1} = x_k + net(x_k, k) + std_k eps."""
        ones = torch.ones(len(std))
        return cls(net, event_shape=event_shape, scale=ones, gain=ones, std=std, trainable_std=trainable_std)

    @classmethod
    def from_noise_predictor(
        cls,
        net: nn.Module,
        schedule: VPSchedule,
        *,
        event_shape: Sequence[int],
        last_std: float,
        trainable_std: Sequence[bool],
        min_std: float = 0.0,
    ) -> "GaussianPolicy":
        """DDPM's ancestral step (arXiv:2006.11239, Eq. 11) of a net that predicts eps.

        The posterior std is 0 at the last step; `last_std` stands there so that log pi exists. No step has a
        std below `min_std`.
        """
        alphas, below = schedule.alphas, schedule.alpha_bar[:-1]
        std = schedule.posterior_std()
        std[-1] = last_std
        std = std.clamp(min=min_std)
        return cls(
            net,
            event_shape=event_shape,
            scale=alphas.rsqrt(),
            gain=-(1 - alphas) / (alphas.sqrt() * (1 - below).sqrt()),
            std=std,
            trainable_std=trainable_std,
        )

    @classmethod
    def from_denoiser(
        cls,
        net: nn.Module,
        levels: NoiseLevels,
        *,
        event_shape: Sequence[int],
        last_std: float,
        trainable_std: Sequence[bool],
    ) -> "GaussianPolicy":
        """Euler-ancestral steps (`dxmi.sampling.samplers.Ancestral`, kappa = 1) of a net (x, k) -> D(x, sigma_k).

        x' = D + sigma_down (x - D) / sigma + sigma_up eps. A last step to level 0 has no noise of its own; `last_std`
        stands there so that log pi exists.
        """
        down, up = levels.ancestral()
        ratio = down / levels.sigmas[:-1]
        return cls(
            net,
            event_shape=event_shape,
            scale=ratio,
            gain=1 - ratio,
            std=torch.where(levels.sigmas[1:] > 0, up, last_std),
            trainable_std=trainable_std,
            start_std=levels.start_std,
        )

    def in_units(self, factor: float) -> "GaussianPolicy":
        """The same steps of points x, where this policy is of points `factor` x. Both share the net.

        x' = a x + g / factor net(factor x, k) + std / factor eps.
        """
        return GaussianPolicy(
            InUnits(self.net, self.scale.new_full((self.num_steps,), factor)),
            event_shape=self.event_shape,
            scale=self.scale,
            gain=self.gain / factor,
            std=self.start_log_std.exp() / factor,
            trainable_std=self.std_is_trainable.tolist(),
            start_std=self.start_std / factor,
        )

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The shape of the standard normal draw behind the start and behind each step."""
        return self.event_shape

    @property
    def num_steps(self) -> int:
        return len(self.scale)

    def start(self, eps: Tensor) -> Points:
        """x_0 from a standard normal draw of `noise_shape`."""
        return self.start_std * eps

    def mean(self, x: Points, k: StepIndex, given: Tensor | None = None) -> Points:
        output = self.net(x, k) if given is None else self.net(x, k, given)
        return per_sample(self.scale[k], x) * x + per_sample(self.gain[k], x) * output

    def step_log_stds(self) -> PerStep:
        """log std_k of every step, differentiable where trainable."""
        return torch.where(self.std_is_trainable, self.learned_log_std, self.start_log_std)

    def log_std(self, k: StepIndex) -> PerSample:
        return self.step_log_stds()[k]

    def log_prob(self, x: Points, k: StepIndex, x_next: Points, given: Tensor | None = None) -> PerSample:
        """log N(x_next; mean(x, k), std_k^2 I) in nats, summed over the event."""
        log_std = self.log_std(k)
        z = (x_next - self.mean(x, k, given)).flatten(1) / log_std.exp()[:, None]
        constant = 0.5 * math.log(2 * math.pi) * z.shape[1]
        return -0.5 * z.square().sum(dim=1) - z.shape[1] * log_std - constant

    def draw(self, x: Points, k: StepIndex, eps: Tensor, given: Tensor | None = None) -> Points:
        """x_{k+1} from x_k by re-parametrisation with the standard normal `eps` of `noise_shape`."""
        return self.mean(x, k, given) + per_sample(self.step_log_stds().exp()[k], x) * eps


class LatentPolicy(GaussianPolicy):
    """q(x_{k+1} | x_k, x_data = G(x_k, k, z)), z ~ N(0, I) anew at every step: a denoising diffusion GAN as a policy.

    Xiao, Kreis, Vahdat 2022, arXiv:2112.07804, Eq. 5. A draw of noise is the event's and behind it the latent's, in one
    row. Given z a step is Gaussian: `mean` and `log_prob` take z as `given`, and the entropy that is counted is the
    noise's alone.
    """

    latent_channels: int

    @classmethod
    def from_generator(
        cls,
        net: nn.Module,
        schedule: VPSchedule,
        *,
        event_shape: Sequence[int],
        latent_channels: int,
        last_std: float,
        trainable_std: Sequence[bool],
    ) -> "LatentPolicy":
        """Build from a net (x, k, z) -> x_data, with the posterior's stds and `last_std` for the last, which is 0."""
        of_x, of_data = schedule.posterior_mean()
        std = schedule.posterior_std()
        std[-1] = last_std
        policy = cls(net, event_shape=event_shape, scale=of_x, gain=of_data, std=std, trainable_std=trainable_std)
        policy.latent_channels = latent_channels
        return policy

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (math.prod(self.event_shape) + self.latent_channels,)

    def start(self, eps: Tensor) -> Points:
        return super().start(self._split(eps)[0])

    def draw(self, x: Points, k: StepIndex, eps: Tensor, given: Tensor | None = None) -> Points:
        assert given is None, "the net is conditioned on the latent alone"
        noise, latent = self._split(eps)
        return super().draw(x, k, noise, latent)

    def _split(self, eps: Float[Tensor, " b noise"]) -> tuple[Points, Float[Tensor, " b latent"]]:
        size = math.prod(self.event_shape)
        return eps[:, :size].unflatten(1, self.event_shape), eps[:, size:]
