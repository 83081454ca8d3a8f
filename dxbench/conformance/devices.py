"""Does the method go where `compute` sends it? Really on CUDA where there is one, else on torch's meta device.

Meta tensors have shapes and a device and no data, so a tensor left behind on the CPU is found without a GPU.
What needs data (reading a loss as a number, a fused optimiser) cannot be followed there.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import torch

from dxbench.api import Compute
from dxbench.api.streams import RandomStreams
from dxbench.conformance.subject import Broken, NotChecked, Subject
from dxbench.engine.parts import trained_model

T = TypeVar("T")
_LEFT_BEHIND = re.compile(r"not on the expected device|on the same device|device type for generator|different devices")


class MetaGenerator(torch.Generator):
    """A CPU generator that says it lives on the meta device, where torch has none."""

    device = torch.device("meta")


class MetaStreams(RandomStreams):
    """Streams that hand out `MetaGenerator` for the meta device."""

    def __init__(self, *scope: str | int) -> None:
        super().__init__(*scope)
        self._meta: dict[str, MetaGenerator] = {}

    def torch(self, name: str, *, device: str = "cpu") -> torch.Generator:
        if device != "meta":
            return super().torch(name, device=device)
        if name not in self._meta:
            self._meta[name] = MetaGenerator()
            self._meta[name].manual_seed(self.seed(name))
        return self._meta[name]


def check_device(subject: Subject) -> str | None:
    subject.require_needs()
    device = "cuda" if torch.cuda.is_available() else "meta"
    streams = RandomStreams("conformance") if device == "cuda" else MetaStreams("conformance")
    method, problem, compute = subject.method(), subject.problem, Compute(device=device, threads=1)
    training = _follow(lambda: method.start(problem, subject.config, compute=compute, rng=streams), device)
    note = None
    try:
        for _ in range(min(2, training.total_steps)):
            _follow(training.step, device)
    except NotChecked as reason:  # networks and sampling are still to be looked at
        note = str(reason)
    model = _follow(lambda: trained_model(training), device)
    left = {
        f"{type(network).__name__}.{name} on {tensor.device.type}"
        for network in model.networks
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]
        if tensor.device.type != device
    }
    if left:
        raise Broken(f"left behind on another device than {device}: {', '.join(sorted(left))}")
    if model.sampler is not None:
        try:
            _follow(lambda: subject.draw(model, torch.arange(4)), device)
        except NotChecked as reason:
            note = str(reason)
    return note


def _follow(call: Callable[[], T], device: str) -> T:
    """The call's result.

    Raises:
        Broken: if it met tensors of two devices.
        NotChecked: if it cannot be followed without data.
    """
    try:
        return call()
    except Exception as error:
        first_line = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        if _LEFT_BEHIND.search(str(error)):
            raise Broken(first_line) from None
        if device != "meta":
            raise
        raise NotChecked(
            f"looked at networks alone: no CUDA device here, and meta tensors cannot follow the rest: {first_line}"
        ) from None
