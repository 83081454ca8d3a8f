"""Weights that torch or huggingface have fetched are not fetched again."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from dxbench.assets import Asset
from dxbench.assets import prepare as preparing
from dxbench.assets.prepare import asked_offline, prepare
from dxbench.errors import MissingData

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ASSET = Asset(
    name="net",
    title="a network",
    kind="weights",
    path="weights/net.pth",
    urls=("http://127.0.0.1:9/net.pth",),  # where nobody answers
    digest=f"sha256:{SHA256}",
    size=len(CONTENT),
    licence="none",
    task="cifar10",
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def in_torch(tmp_path: Path, name: str = "net-abc.pth", content: bytes = CONTENT) -> Path:
    path = tmp_path / "torch" / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def in_huggingface(tmp_path: Path, digest: str = SHA256, content: bytes = CONTENT) -> Path:
    path = tmp_path / "huggingface" / "hub" / "models--timm--net" / "blobs" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def get(asset: Asset, **options: bool) -> preparing.Found:
    chosen = {"offline": False, "accept_licence": False} | options
    return prepare(asset, progress=lambda text, done, total: None, **chosen)


@pytest.mark.parametrize("place", [in_torch, in_huggingface])
def test_a_run_finds_them_by_their_hash_and_keeps_no_second_copy(place: object, data: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingData):
        ASSET.require()
    cached = place(tmp_path)  # type: ignore[operator]
    assert ASSET.require() == data / "weights" / "net.pth"
    assert ASSET.verify().samefile(cached)
    cached.unlink()
    assert ASSET.verify().read_bytes() == CONTENT, "the cache may be emptied"


@pytest.mark.parametrize("changes", [{"digest": f"sha256:{SHA256[:8]}"}, {"size": None}, {"size": None, "holds": 6900}])
def test_part_of_a_hash_or_size_will_do(changes: dict[str, object], data: Path, tmp_path: Path) -> None:
    in_torch(tmp_path)
    assert replace(ASSET, **changes).require().is_file()  # type: ignore[arg-type]


def test_md5_will_do(data: Path, tmp_path: Path) -> None:
    in_torch(tmp_path)
    digest = f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"
    assert replace(ASSET, digest=digest).require().is_file()


def test_prepare_takes_them_also_offline_and_says_so(data: Path, tmp_path: Path) -> None:
    assert get(ASSET, offline=True).state == "missing"
    in_torch(tmp_path)
    found = get(ASSET, offline=True)
    assert (found.state, found.note) == ("there", str(data / "weights" / "net.pth"))


@pytest.mark.parametrize(
    "changes", [{"digest": None}, {"kind": "data"}, {"digest": f"sha256:{'0' * 64}"}, {"size": len(CONTENT) + 1}]
)
def test_others_are_not_taken(changes: dict[str, object], data: Path, tmp_path: Path) -> None:
    in_torch(tmp_path)
    with pytest.raises(MissingData):
        replace(ASSET, **changes).require()  # type: ignore[arg-type]


def test_a_file_of_the_name_with_other_content_is_not_taken(data: Path, tmp_path: Path) -> None:
    in_torch(tmp_path, "net.pth", b"another" * 1000)
    in_huggingface(tmp_path, content=b"another" * 1000)
    with pytest.raises(MissingData):
        ASSET.require()
    assert not (data / "weights" / "net.pth").exists()


def test_a_link_to_what_is_gone_is_replaced(data: Path, tmp_path: Path) -> None:
    in_torch(tmp_path)
    (data / "weights").mkdir(parents=True)
    (data / "weights" / "net.pth").symlink_to(tmp_path / "gone")
    assert ASSET.require().read_bytes() == CONTENT


def test_a_place_that_cannot_be_written_is_gone_around(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = in_torch(tmp_path)
    data.write_text("a file, where the folder should be")
    assert ASSET.require() == cached
    assert ASSET.verify() == cached


@pytest.mark.parametrize("value", ["", " ", "0", "false", "No", "OFF"])
def test_offline_0_means_not_offline(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DXBENCH_OFFLINE", value)
    assert not asked_offline()


@pytest.mark.parametrize("value", ["1", "true", "yes", "whatever"])
def test_offline_1_means_offline(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DXBENCH_OFFLINE", value)
    assert asked_offline()
