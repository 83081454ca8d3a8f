"""A made-up diffusers and a folder for it, so that tests need none. Test modules name this one in `pytest_plugins`."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

INDEX = {
    "_class_name": "DDPMPipeline",
    "_diffusers_version": "0.30.0",
    "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
    "safety_checker": [None, None],
}


class Pipeline:
    """A pipeline that adds noise of each generator to what its network makes of it, K times."""

    asked: dict[str, Any] = {}
    scale = 1.0

    def __init__(self) -> None:
        self.unet = nn.Conv2d(1, 1, 1)
        nn.init.zeros_(self.unet.weight)
        self.components = {"unet": self.unet, "scheduler": object()}

    @classmethod
    def from_pretrained(cls, folder: Path, **asked: Any) -> "Pipeline":
        cls.asked = asked
        return cls()

    def to(self, device: str) -> None:
        self.unet.to(device)

    def set_progress_bar_config(self, *, disable: bool) -> None:
        assert disable

    def __call__(
        self, *, batch_size: int, generator: list[torch.Generator], output_type: str, num_inference_steps: int = 3
    ) -> SimpleNamespace:
        assert (len(generator), output_type) == (batch_size, "np")
        x = torch.cat([torch.rand(1, 1, 8, 8, generator=one) for one in generator])
        for _ in range(num_inference_steps):
            x = x + 0 * self.unet(x).detach()
        return SimpleNamespace(images=self.scale * x.permute(0, 2, 3, 1).numpy())


class DDPMPipeline(Pipeline):
    """Known to the made-up diffusers by the name that folders have."""


@pytest.fixture
def diffusers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A made-up diffusers, so that the tests need none."""
    module: Any = ModuleType("diffusers")
    module.__version__, module.DiffusionPipeline, module.DDPMPipeline = "0", Pipeline, DDPMPipeline
    module.UNet2DModel = nn.Conv2d
    monkeypatch.setitem(sys.modules, "diffusers", module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline's folder as `save_pretrained` leaves it."""
    place = tmp_path / "pipeline"
    (place / "unet").mkdir(parents=True)
    (place / "model_index.json").write_text(json.dumps(INDEX))
    (place / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    return place
