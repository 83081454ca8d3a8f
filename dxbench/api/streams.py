"""Random streams named by what they are for, so that adding one moves no other."""

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive_seed(*names: str | int) -> int:
    """A 62-bit seed from a path of names: sha256 of the names, so that neighbours share nothing."""
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


class RandomStreams:
    """Generators by name, all derived from one scope; their states travel in checkpoints."""

    def __init__(self, *scope: str | int) -> None:
        self._scope = scope
        self._common: RandomStreams | None = None
        self._torch: dict[str, torch.Generator] = {}
        self._numpy: dict[str, np.random.Generator] = {}
        self._outer: RandomStreams | None = None
        self._part = ""
        self._prefix = ""

    def within(self, part: str) -> "RandomStreams":
        """Streams of a part of the work, kept and restored with these."""
        inner = type(self)(*self._scope)
        inner._torch, inner._numpy = self._torch, self._numpy
        inner._outer, inner._part, inner._prefix = self, part, f"{self._prefix}{part}/"
        return inner

    def seed(self, name: str) -> int:
        """The seed of a stream, for what takes an integer."""
        return derive_seed(*self._scope, self._prefix + name)

    @property
    def common(self) -> "RandomStreams":
        """Streams of the scope without its first name, the method: the same for all methods at one training seed."""
        if self._common is None:
            outer = self._outer
            common = type(self)("common", *self._scope[1:])
            self._common = common if outer is None else outer.common.within(self._part)
        return self._common

    def torch(self, name: str, *, device: str = "cpu") -> "torch.Generator":
        """The torch generator of that name; the same object at every call."""
        import torch

        key = self._prefix + name
        if key not in self._torch:
            self._torch[key] = torch.Generator(device=device).manual_seed(self.seed(name))
        return self._torch[key]

    def numpy(self, name: str) -> "np.random.Generator":
        """The NumPy generator of that name; the same object at every call."""
        import numpy as np

        key = self._prefix + name
        if key not in self._numpy:
            self._numpy[key] = np.random.Generator(np.random.PCG64(self.seed(name)))
        return self._numpy[key]

    def state_dict(self) -> dict[str, Any]:
        return {
            "torch": {
                name: {"device": g.device.type, "state": g.get_state()} for name, g in sorted(self._torch.items())
            },
            "numpy": {name: g.bit_generator.state for name, g in sorted(self._numpy.items())},
            "common": None if self._common is None else self._common.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, saved in state["torch"].items():
            self.torch(name, device=saved["device"]).set_state(saved["state"])
        for name, saved in state["numpy"].items():
            self.numpy(name).bit_generator.state = saved
        if state["common"] is not None:
            self.common.load_state_dict(state["common"])
