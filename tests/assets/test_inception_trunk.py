"""The trunk out of a TorchScript archive: tensors are read, code is not, and what is another network is refused."""

import os
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from dxbench.assets import inception
from dxbench.assets.inception import CONVOLUTIONS, TRUNK, keep_trunk
from dxbench.errors import InvalidFile
from dxbench.files.weights import digest, read, read_script

PARTS = ("weight", "beta", "mean", "var")


def told(done: int, total: int | None) -> None:
    pass


def archive(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """A TorchScript archive, as torch writes it, of a network with these tensors."""
    network = nn.Module()
    for name, tensor in tensors.items():
        *modules, last = name.split(".")
        module = network
        for part in modules:
            if part not in dict(module.named_children()):
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        module.register_buffer(last, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network), str(path))
    return path


def made_up() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"weight": (2, 1, 3, 1)}
    return {
        f"{conv}.{part}": torch.randn(shapes.get(part, (2,)), generator=generator)
        for conv in CONVOLUTIONS
        for part in PARTS
    }


def test_tensors_of_an_archive_are_read_by_name(tmp_path: Path) -> None:
    wanted = {"a.weight": torch.randn(3, 2).T, "a.b.beta": torch.randn(4), "c": torch.zeros(())}
    found = read_script(archive(tmp_path / "net.pt", wanted))
    assert {name: tensor.tolist() for name, tensor in found.items()} == {n: t.tolist() for n, t in wanted.items()}


def test_the_trunk_is_kept_under_the_ports_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = made_up()
    trunk = {f"{CONVOLUTIONS[conv]}.bn.weight": torch.ones(2) for conv in CONVOLUTIONS}
    for conv, name in CONVOLUTIONS.items():
        for part, port in zip(PARTS, ("conv.weight", "bn.bias", "bn.running_mean", "bn.running_var"), strict=True):
            trunk[f"{name}.{port}"] = tensors[f"{conv}.{part}"]
    assert set(trunk) == TRUNK
    monkeypatch.setattr(inception, "TRUNK_DIGEST", digest(trunk))
    keep_trunk(archive(tmp_path / "net.pt", tensors), tmp_path / "trunk.safetensors", told)
    found = read(tmp_path / "trunk.safetensors")
    assert digest(found) == digest(trunk)
    assert torch.equal(found["Conv2d_1a_3x3.conv.weight"], tensors["net.layers.conv.weight"])
    assert torch.equal(
        found["Mixed_7c.branch3x3dbl_3b.bn.bias"], tensors["net.layers.mixed_10.tower_1_mixed_conv_1.beta"]
    )


def test_a_tensor_too_few_or_of_another_shape_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = made_up()
    lost = tensors.pop("net.layers.mixed_3.conv.mean")
    with pytest.raises(InvalidFile, match=r"not the Inception of 2015: lacks net\.layers\.mixed_3\.conv\.mean"):
        keep_trunk(archive(tmp_path / "short.pt", tensors), tmp_path / "trunk.safetensors", told)
    tensors["net.layers.mixed_3.conv.mean"] = lost.reshape(2, 1)
    with pytest.raises(InvalidFile, match="holds other tensors than the Inception of 2015"):
        keep_trunk(archive(tmp_path / "shape.pt", tensors), tmp_path / "trunk.safetensors", told)
    assert not (tmp_path / "trunk.safetensors").exists()


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(Harmful.place),)

    place = Path()


def test_a_pickle_that_asks_for_code_is_refused_and_nothing_is_run(tmp_path: Path) -> None:
    Harmful.place = tmp_path / "harm"
    path = tmp_path / "harmful.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", pickle.dumps(Harmful()))
    with pytest.raises(InvalidFile, match=r"harmful\.pt: refused: the pickle asks for \w+\.mkdir"):
        keep_trunk(path, tmp_path / "trunk.safetensors", told)
    assert not Harmful.place.exists()


def test_what_is_no_archive_or_cut_short_is_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "net.pt", made_up())
    (tmp_path / "text.pt").write_bytes(b"no archive")
    (tmp_path / "cut.pt").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as file:
        file.writestr("a.txt", "text")
    for name, says in (
        ("text.pt", "not a readable zip archive"),
        ("cut.pt", "not a readable zip archive"),
        ("other.pt", r"0 files data\.pkl, wanted one"),
    ):
        with pytest.raises(InvalidFile, match=says):
            keep_trunk(tmp_path / name, tmp_path / "trunk.safetensors", told)


def test_storages_that_are_absent_short_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "net.pt", {"a": torch.ones(4)})
    for change, says in (("drop", "lacks the storage data/0"), ("cut", "is cut short or damaged")):
        path = tmp_path / f"{change}.pt"
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
            for member in old.infolist():
                data = old.read(member)
                if member.filename.endswith("/data/0"):
                    if change == "drop":
                        continue
                    data = data[:8]
                new.writestr(member.filename, data)
        with pytest.raises(InvalidFile, match=says):
            read_script(path)
    with pytest.raises(InvalidFile, match=r"asks for torch\.DoubleStorage"):
        read_script(archive(tmp_path / "double.pt", {"a": torch.ones(4, dtype=torch.float64)}))
