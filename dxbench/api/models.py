"""The model that training leaves, and what it can do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A trained model: networks, and functions for all that can be done with them.

    A capability is a function that is not None. Metrics that need one which a model lacks are noted as not measured.

    Attributes:
        networks: those that sampling or scoring evaluates; the harness counts their passes, a gradient
            as two.
        sampler: int64 seeds [b] to samples [b, *event] on any device, or `sampler(seeds, labels)` where there is
            `num_classes`. Sample i depends on seeds[i] and labels[i] alone.
        trajectory_sampler: as `sampler`, to all states from noise on, [K + 1, b, *event]; the last are the samples.
            Drawn in reports.
        weighted_sampler: seeds [b] to the samples of `sampler` and log weights [b] in nats, exp(-E) of the given energy
            (`Problem.energy`) over the model's density, or the same of whole chains; exp of one is Z on average.
        num_classes: samples are drawn of a class, 0 .. num_classes - 1; None where they are drawn without.
        energy: points [b, *event] to [b]; low = likely, p proportional to exp(-E / temperature).
        temperature: of the energy; None where it has no scale.
        maps: an energy of patches that depends on where a patch lies or on the others of its image: images as grids
            of patches [b, h, w, d] to energies [b, h, w]; larger is more anomalous.
        denoiser: points x [b, *event] and noise levels [b] to E[y | y + sigma eps = x], [b, *event], the mean of what
            lies under the noise; asked of a truth that knows its scores (`Need.TRUE_SCORE`).
        value: points [b, *event] and a step k to the values V_k, [b]; V_K is the energy. Drawn in reports.
        num_steps: K, of the value.
        start: the model that training began from, scored by the same protocol.
        parts: the models of a `ProblemSet`, each by the name of its problem.

    Raises:
        TypeError, ValueError: for fields that make no model, with the remedy.
    """

    networks: "Sequence[torch.nn.Module]" = ()
    sampler: "Callable[..., Tensor] | None" = None
    trajectory_sampler: "Callable[..., Tensor] | None" = None
    weighted_sampler: "Callable[[Tensor], tuple[Tensor, Tensor]] | None" = None
    num_classes: int | None = None
    energy: "Callable[[Tensor], Tensor] | None" = None
    temperature: float | None = None
    maps: "Callable[[Tensor], Tensor] | None" = None
    denoiser: "Callable[[Tensor, Tensor], Tensor] | None" = None
    value: "Callable[[Tensor, int], Tensor] | None" = None
    num_steps: int | None = None
    start: "Model | None" = None
    parts: "Mapping[str, Model] | None" = None

    def __post_init__(self) -> None:
        from torch.nn import Module

        if not isinstance(self.networks, tuple | list) or not all(isinstance(n, Module) for n in self.networks):
            raise TypeError(f"networks is {self.networks!r}, wanted a tuple of torch modules")
        for name in ("sampler", "trajectory_sampler", "weighted_sampler", "energy", "maps", "denoiser", "value"):
            if not (getattr(self, name) is None or callable(getattr(self, name))):
                kind = type(getattr(self, name)).__name__
                raise TypeError(f"{name} is a {kind}, wanted a function; give the method of it that is one")
        for model in (*([] if self.start is None else [self.start]), *(self.parts or {}).values()):
            require_model(model)
        if (self.value is None) != (self.num_steps is None):
            raise ValueError("value and num_steps go together: value(x, k) for k = 0 .. num_steps")
        if self.sampler is None and (self.trajectory_sampler, self.weighted_sampler, self.num_classes) != (None,) * 3:
            raise ValueError(
                "trajectory_sampler, weighted_sampler and num_classes are of a model that samples; give sampler too"
            )
        if self.energy is None and self.temperature is not None:
            raise ValueError(f"temperature is {self.temperature} and there is no energy; give energy too")

    def sample(self, seeds: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """Samples of int64 seeds [b], of classes [b] for a model that has them, as [b, *event] on any device.

        Raises:
            ValueError: if the model does not sample, if it draws by class and there are no labels, or the other way
                round, or a label is none of its classes.
        """
        return self._drawn("sampler", seeds, labels)

    def trajectory(self, seeds: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """States from noise to `sample(seeds, labels)`, [K + 1, b, *event].

        Raises:
            ValueError: as `sample`.
        """
        return self._drawn("trajectory_sampler", seeds, labels)

    def _drawn(self, name: str, seeds: "Tensor", labels: "Tensor | None") -> "Tensor":
        draw: Callable[..., Tensor] | None = getattr(self, name)
        if draw is None:
            raise ValueError(f"the model has no {name}; give Model(networks=..., {name}=...)")
        if labels is None and self.num_classes is None:
            return draw(seeds)
        if labels is None:
            raise ValueError(
                f"the model draws samples of {self.num_classes} classes, but the task has no classes and gives no "
                "labels; leave num_classes out and give a sampler(seeds)"
            )
        if self.num_classes is None:
            raise ValueError(
                "the task scores samples of given classes, but the model is unconditional; give it num_classes and a "
                "sampler(seeds, labels)"
            )
        if labels.shape != seeds.shape or str(labels.dtype) != "torch.int64":
            raise ValueError(f"wanted int64 labels {tuple(seeds.shape)}, got {labels.dtype} {tuple(labels.shape)}")
        outside = labels[(labels < 0) | (labels >= self.num_classes)]
        if len(outside):
            raise ValueError(
                f"{len(outside):,} of {len(labels):,} labels are out of range, the first {int(outside[0])}; "
                f"the model knows classes 0 .. {self.num_classes - 1}"
            )
        return draw(seeds, labels)


def require_model(model: object) -> Model:
    """Refuse what a method gives in place of a `Model`.

    Raises:
        TypeError: with the remedy.
    """
    if not isinstance(model, Model):
        raise TypeError(
            f"got a {type(model).__name__}, wanted a dxbench.api.Model; return Model(networks=(net,), sampler=draw) "
            "with a function draw(seeds), or Model(networks=(net,), energy=function)"
        )
    return model
