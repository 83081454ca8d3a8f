"""Weight files: read without running anything, converted, written whole, loaded strictly."""

import io
import pickle
import re
import sys
import types
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from dxbench.errors import ExitCode, InvalidFile, MissingData, UsageError
from dxbench.files import weights
from dxmi import checkpoints
from dxmi.nets import presets
from dxmi.nets.presets import DDPM_CIFAR10, NCSNPP_CIFAR10
from dxmi.nets.unet import UNet

SMALL = replace(DDPM_CIFAR10, width=8, multipliers=(1, 1), blocks_per_level=1)


def unet(seed: int = 0) -> UNet:
    return UNet(SMALL, generator=Generator().manual_seed(seed))


def tensors() -> dict[str, Tensor]:
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False])}


def assert_same(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[key], wanted[key]) for key in wanted)


class Runs:
    """Pickles into a call of whatever is asked for."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def edm(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Stands in for NVlabs/edm's `torch_utils.persistence`, so that files of its form can be written."""
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
        raise AssertionError("the class of the file came to life")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_utils", package)
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)
    return module


def edm_pickle(edm: types.ModuleType, network: nn.Module) -> bytes:
    """The file NVlabs/edm would write of a network: every module an object with its own source."""

    class Persistent:
        def __init__(self, module: nn.Module) -> None:
            state = dict(vars(module))
            state["_modules"] = {name: wrapped(child) for name, child in module._modules.items()}
            source = "raise SystemExit('the source of the file was run')"
            self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": "Net", "state": state}

        def __reduce__(self) -> Any:
            return edm._reconstruct_persistent_obj, (self.meta,)

    def wrapped(module: nn.Module | None) -> Any:
        if isinstance(module, nn.ModuleDict):  # the official code's only containers; pickled as what they are
            return nn.ModuleDict({name: wrapped(child) for name, child in module.items()})
        return None if module is None else Persistent(module)

    network.scale = np.sqrt(0.5)  # type: ignore[assignment]
    return pickle.dumps({"ema": Persistent(network), "dataset_kwargs": {"resolution": 32}, "loss_fn": None})


def net_with_buffer() -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 2, bias=False), nn.BatchNorm1d(2))
    net.register_buffer("filter", torch.ones(2, 2).T)
    return net


def test_an_edm_pickle_gives_its_tensors_and_nothing_comes_to_life(edm: types.ModuleType, tmp_path: Path) -> None:
    net = net_with_buffer()
    (tmp_path / "net.pkl").write_bytes(edm_pickle(edm, net))
    assert_same(weights.read(tmp_path / "net.pkl"), dict(net.state_dict()))


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.ckpt", "w.bin", "w.th"])
@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files_are_read(name: str, legacy: bool, tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / name, _use_new_zipfile_serialization=not legacy)
    assert_same(weights.read(tmp_path / name), tensors())


def test_wrappings_around_a_state_dict_are_taken_off(tmp_path: Path) -> None:
    parallel = {f"module.{key}": value for key, value in tensors().items()}
    torch.save({"state_dict": {"model": parallel}, "fid": 3.2, "epoch": 7}, tmp_path / "w.pth")
    assert_same(weights.read(tmp_path / "w.pth"), tensors())


def test_what_is_written_is_read_back_and_other_layouts_of_memory_with_it(tmp_path: Path) -> None:
    state = {**tensors(), "transposed": torch.arange(6.0).reshape(2, 3).T, "shared": tensors()["a.weight"]}
    state["shared too"] = state["shared"]
    weights.write(tmp_path / "deep" / "w.safetensors", state)
    assert_same(weights.read(tmp_path / "deep" / "w.safetensors"), state)


def test_a_write_that_fails_leaves_the_former_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.write(tmp_path / "w.safetensors", tensors())

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        weights.write(tmp_path / "w.safetensors", {"other": torch.zeros(3)})
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["w.safetensors"]
    assert_same(weights.read(tmp_path / "w.safetensors"), tensors())


def test_official_weights_become_a_file_that_loads_strictly(tmp_path: Path) -> None:
    conversion = checkpoints.fastdpm(SMALL)
    drawn = Generator().manual_seed(5)
    parts = {key: origin.keys for key, origin in conversion.origins.items()}
    official = {
        part: torch.randn(len(shape) and shape[0] // len(parts[key]), *shape[1:], generator=drawn)
        for key, shape in conversion.shapes.items()
        for part in parts[key]
    }
    torch.save(official, tmp_path / "model.ckpt")
    weights.convert(tmp_path / "model.ckpt", tmp_path / "ours.safetensors", conversion)
    net, x = unet(), torch.randn(1, 3, 8, 8, generator=drawn)
    weights.load(net, tmp_path / "ours.safetensors")
    assert torch.equal(net.stem.weight, official["conv_in.weight"])
    assert not torch.equal(net(x, torch.zeros(1)), unet()(x, torch.zeros(1)))


def test_an_edm_pickle_of_a_real_unet_goes_all_the_way(edm: types.ModuleType, tmp_path: Path) -> None:
    class Named(nn.Module):
        pass

    config = replace(NCSNPP_CIFAR10, width=8, multipliers=(1, 1), blocks_per_level=1)
    ours = UNet(config, generator=Generator().manual_seed(1))
    conversion = checkpoints.edm_song(config, size=8)
    root = Named()
    for key, value in ours.state_dict().items():
        origin = conversion.origins[key]
        if "qkv" in key:  # one head: (3, d) back to (d, 3)
            value = value.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1)
        *path, leaf = origin.keys[0].split(".")
        module: nn.Module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, Named())
            module = module.get_submodule(part)
        module.register_parameter(leaf, nn.Parameter(value.contiguous(), requires_grad=False))
    (tmp_path / "edm.pkl").write_bytes(edm_pickle(edm, root))
    weights.convert(tmp_path / "edm.pkl", tmp_path / "ours.safetensors", conversion)
    net = UNet(config, generator=Generator().manual_seed(2))
    weights.load(net, tmp_path / "ours.safetensors")
    assert_same(dict(net.state_dict()), dict(ours.state_dict()))


# --- refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pkl", "w.legacy.pt"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_file_cut_short_is_named(name: str, kept: float, edm: types.ModuleType, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "w.pkl":
        path.write_bytes(edm_pickle(edm, net_with_buffer()))
    elif name == "w.safetensors":
        weights.write(path, tensors())
    else:
        torch.save(tensors(), path, _use_new_zipfile_serialization="legacy" not in name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(InvalidFile, match=name) as refused:
        weights.read(path)
    assert "cut short" in str(refused.value) or "damaged" in str(refused.value)
    assert refused.value.exit_code == ExitCode.INVALID


@pytest.mark.parametrize("where", ["root", "inside", "global only"])
@pytest.mark.parametrize("name", ["w.pkl", "w.pt", "w.legacy.pt"])
def test_a_pickle_that_runs_code_is_refused_before_it_does(name: str, where: str, tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    evil: Any = Path.touch if where == "global only" else Runs(Path.touch, sentinel)
    tree = evil if where == "root" else {"ema": evil, "model": evil}
    path = tmp_path / name
    if name == "w.pkl":
        path.write_bytes(pickle.dumps(tree))
    else:
        torch.save(tree, path, _use_new_zipfile_serialization="legacy" not in name)
    with pytest.raises(InvalidFile, match="refused"):
        weights.read(path)
    assert not sentinel.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_import_dotted_name"),
    ],
)
def test_no_other_name_is_looked_up(module: str, name: str, tmp_path: Path) -> None:
    called = pickle.GLOBAL + f"{module}\n{name}\n".encode() + pickle.MARK + pickle.UNICODE + b"1\n" + pickle.TUPLE
    (tmp_path / "w.pkl").write_bytes(called + pickle.REDUCE + pickle.STOP)
    with pytest.raises(InvalidFile, match=f"refused.*{module}.{name}"):
        weights.read(tmp_path / "w.pkl")


def test_code_inside_the_storage_of_a_tensor_is_refused(tmp_path: Path) -> None:
    sentinel, inner = tmp_path / "ran", io.BytesIO()
    torch.save(Runs(Path.touch, sentinel), inner, _use_new_zipfile_serialization=False)
    loads = torch.storage._load_from_bytes
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"ema": Runs(loads, inner.getvalue())}))
    with pytest.raises(InvalidFile, match=r"w\.pkl"):
        weights.read(tmp_path / "w.pkl")
    assert not sentinel.exists()


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    build, (storage, _, _, _, *rest) = torch.zeros(4).__reduce_ex__(4)[:2]
    forged = Runs(build, storage, 0, (1 << 20,), (1,), *rest)
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"ema": forged}))
    with pytest.raises(InvalidFile, match="cut short or damaged"):
        weights.read(tmp_path / "w.pkl")


@pytest.mark.parametrize(("tree", "said"), [({"G": 1}, r"\['G'\]"), ({"ema": 3}, r"\['ema'\]"), ([1, 2], "list")])
def test_a_pickle_without_a_network_is_named(tree: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(tree))
    with pytest.raises(InvalidFile, match=f"{said}.*wanted a dictionary with a network under 'ema'"):
        weights.read(tmp_path / "w.pkl")


@pytest.mark.parametrize("tree", [{"epoch": 3}, {}, [torch.zeros(1)], {"a": torch.zeros(1), "b": "text"}])
def test_a_torch_file_without_a_state_dict_is_named(tree: Any, tmp_path: Path) -> None:
    torch.save(tree, tmp_path / "w.pt")
    with pytest.raises(InvalidFile, match="holds no state dict"):
        weights.read(tmp_path / "w.pt")


def test_files_that_are_something_else_are_named(tmp_path: Path) -> None:
    for name in ("w.pt", "w.pkl", "w.safetensors"):
        (tmp_path / name).write_text("<html>quota exceeded</html>")
        with pytest.raises(InvalidFile, match=name):
            weights.read(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("image.png", b"")
    with pytest.raises(InvalidFile, match=r"w\.pth"):
        weights.read(tmp_path / "w.pth")


def test_a_missing_file_and_an_unknown_suffix_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="fetch them first"):
        weights.read(tmp_path / "w.pt")
    (tmp_path / "w.h5").touch()
    with pytest.raises(UsageError, match=r"'\.h5'.*\.safetensors"):
        weights.read(tmp_path / "w.h5")


def test_converting_the_weights_of_another_network_names_file_and_keys_and_writes_nothing(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "other.pt")
    with pytest.raises(InvalidFile, match=r"other\.pt: these are not the weights of FastDPM.*missing: .*not in it: a"):
        weights.convert(tmp_path / "other.pt", tmp_path / "ours.safetensors", checkpoints.fastdpm(SMALL))
    assert not (tmp_path / "ours.safetensors").exists()


def test_loading_into_another_architecture_lists_the_first_keys(tmp_path: Path) -> None:
    weights.write(tmp_path / "w.safetensors", dict(unet().state_dict()))
    wider = UNet(replace(SMALL, width=16), generator=Generator().manual_seed(0))
    with pytest.raises(InvalidFile, match=r"does not fit UNet: .*has shape \(.*\), wanted \(.*\).* and \d+ more"):
        weights.load(wider, tmp_path / "w.safetensors")
    with pytest.raises(InvalidFile, match=r"weight is missing; bias is missing; .*is not one of its own"):
        weights.load(nn.Linear(2, 2), tmp_path / "w.safetensors")


def test_the_page_names_presets_and_conversions_that_exist() -> None:
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 11
    converted = 0
    for row in rows:
        for name in re.findall(r"`([A-Z]{3,}\w+)`", row[2]):
            assert name in vars(presets)
        scope = {**vars(checkpoints), **vars(presets)}
        called = re.findall(r"(\w+)\(", row[5]) + re.findall(r"\(([A-Z]\w+)\)", row[5])
        assert not [name for name in called if name not in scope]
        converted += bool(called)
    assert converted == 9  # the others have no weights to convert, or names of their own


@pytest.mark.parametrize("core", ["core", "_core"])
@pytest.mark.parametrize("number", [np.float64(3.19), np.float32(0.5), np.int64(7), np.bool_(True)])
def test_numbers_of_numpy_beside_the_weights_are_let_in(tmp_path: Path, core: str, number: Any) -> None:
    """Training scripts keep an FID or a loss with a checkpoint; before NumPy 2 its module had another name."""
    path = tmp_path / "sampler.pth"
    torch.save({"state_dict": tensors(), "fid": number}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    own = np.float64(0).__reduce__()[0].__module__
    renamed = content.replace(f"c{own}\nscalar".encode(), f"cnumpy.{core}.multiarray\nscalar".encode())
    assert own == f"numpy.{core}.multiarray" or renamed != content
    path.write_bytes(renamed)
    assert_same(weights.read(path), tensors())


def test_arrays_and_objects_of_numpy_are_not(tmp_path: Path) -> None:
    path = tmp_path / "sampler.pth"
    torch.save({"state_dict": tensors(), "other": np.random.default_rng(0)}, path)
    with pytest.raises(InvalidFile, match="more than tensors"):
        weights.read(path)
