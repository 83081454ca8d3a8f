"""Pipeline folders of diffusers: scored without a line of their code, refused where one would be run."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Ended
from made_up_diffusers import INDEX, DDPMPipeline, Pipeline

from dxbench.errors import InvalidFile, UsageError
from dxbench.plugins.registry import load_task
from dxbench.python.pipelines import is_pipeline, pipeline_model
from dxbench.python.samplers import source_of

pytest_plugins = ("made_up_diffusers",)


def test_a_folder_is_drawn_from_by_seeds_and_its_networks_are_counted(
    dxbench: Callable[..., Ended], diffusers: ModuleType, folder: Path
) -> None:
    model = pipeline_model(folder, {}, device="cpu", num_classes=None)
    assert Pipeline.asked == {} and DDPMPipeline.asked == {  # noqa: PT018
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
        "low_cpu_mem_usage": False,
    }
    some, others = model.sample(torch.arange(4)), model.sample(torch.arange(2, 6))
    assert torch.equal(some[2:], others[:2]), "a sample depends on its seed alone"
    assert -1 <= some.min() < -0.9
    assert 0.9 < some.max() <= 1
    arguments = ("eval", folder, "--task", "digits", "--name", "Mine", "--save", "--json")
    ended = dxbench(*arguments, "--set", "num_inference_steps=5")
    assert ended.code == 0, ended.err
    assert (ended.json["nfe"], ended.json["passes"]) == (5.0, "counted")
    label = "Mine[nfe=5,num_inference_steps=5]"
    (row,) = dxbench("table", "-t", "digits", "-f", "json", "--results", folder.parent / "home" / "results").json[
        "blocks"
    ][0]["rows"]
    assert (row["selector"], row["kind"]) == (label, "external")
    refused = dxbench(*arguments, "--set", "eta=0.5")
    assert (refused.code, "does not take" in refused.err, "eta" in refused.err) == (2, True, True)


def test_without_diffusers_one_sentence_says_how_to_get_it(
    dxbench: Callable[..., Ended], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    ended = dxbench("eval", folder, "--task", "digits")
    assert ended.code == 7
    assert "diffusers is not installed here; `pip install 'dxmi-bench[diffusers]'` installs it" in ended.err
    assert len(ended.err.strip().splitlines()) == 1


EVIL = "raise SystemExit('executed')\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("pipeline.py", EVIL, "is code, and none of a folder is executed"),
        ("unet/my_unet.py", EVIL, "is code"),
        ("unet/diffusion_pytorch_model.bin", "x", "may be a pickle"),
        ("unet/weights.ckpt", "x", "may be a pickle"),
        ("model_index.json", "{", "is not readable as JSON"),
        ("model_index.json", "[" * 100_000, "is not readable as JSON"),
        ("model_index.json", "[1]", "_class_name is None"),
        ("model_index.json", " " * (1 << 21), "bytes"),
        ("model_index.json", json.dumps({**INDEX, "_class_name": ["pipeline", "Mine"]}), "wanted a part of diffusers"),
        ("model_index.json", json.dumps({**INDEX, "_class_name": "Mine"}), "'Mine' is no pipeline of diffusers 0"),
        ("model_index.json", json.dumps({**INDEX, "_class_name": "UNet2DModel"}), "is no pipeline of diffusers"),
        ("model_index.json", json.dumps({**INDEX, "unet": ["my_unet", "MyUNet"]}), "unet is 'MyUNet' of 'my_unet'"),
        ("model_index.json", json.dumps({**INDEX, "unet": ["os"]}), "wanted a part of diffusers"),
    ],
)
def test_a_folder_with_code_pickles_or_parts_of_its_own_is_refused(
    diffusers: ModuleType, folder: Path, name: str, content: str, words: str
) -> None:
    (folder / name).write_text(content)
    DDPMPipeline.asked = {}
    with pytest.raises(InvalidFile, match=words):
        pipeline_model(folder, {}, device="cpu", num_classes=None)
    assert DDPMPipeline.asked == {}, "nothing was loaded"


def test_what_diffusers_cannot_load_is_refused_in_a_sentence(
    diffusers: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, **asked: Any) -> Pipeline:
        raise OSError("no file named config.json")

    monkeypatch.setattr(DDPMPipeline, "from_pretrained", fail)
    with pytest.raises(InvalidFile, match=r"cannot be loaded as a DDPMPipeline: no file named config\.json"):
        pipeline_model(folder, {}, device="cpu", num_classes=None)
    with pytest.raises(UsageError, match="draws without classes, and the task has 10"):
        pipeline_model(folder, {}, device="cpu", num_classes=10)
    assert not is_pipeline(folder / "unet")


def test_pixels_that_are_not_in_range_are_refused_while_drawing(
    diffusers: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DDPMPipeline, "scale", 255.0)
    model = source_of(folder, load_task("digits"), {})
    with pytest.raises(InvalidFile, match=r"draws pixels from -0.* to \d+, wanted \[-1, 1\]; scale"):
        model.sample(torch.arange(20))


def test_a_real_pipeline_gives_what_diffusers_itself_gives_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    real = pytest.importorskip("diffusers", reason="pip install 'dxmi-bench[diffusers]'")
    torch.manual_seed(0)
    unet = real.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    )
    own = real.DDIMPipeline(unet=unet, scheduler=real.DDIMScheduler(num_train_timesteps=100))
    own.save_pretrained(tmp_path / "saved")
    capfd.readouterr()
    model = pipeline_model(tmp_path / "saved", {"num_inference_steps": 2}, device="cpu", num_classes=None)
    assert capfd.readouterr() == ("", ""), "neither a progress bar nor advice to install accelerate"
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    wanted = own(batch_size=2, generator=generators, num_inference_steps=2, output_type="np").images
    found = model.sample(torch.tensor([5, 6]))
    assert found.shape == (2, 1, 8, 8)
    assert np.allclose((found.permute(0, 2, 3, 1).numpy() + 1) / 2, wanted, atol=1e-6)
    (tmp_path / "saved" / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(InvalidFile, match="cannot be loaded"):
        pipeline_model(tmp_path / "saved", {}, device="cpu", num_classes=None)
