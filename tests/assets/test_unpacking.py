"""Archives are looked over before a byte of them is unpacked, and appear whole or not at all."""

import hashlib
import os
import tarfile
from pathlib import Path

import pytest
from archives import link, write_tar
from homes import Home, serving

from dxbench.assets import Asset
from dxbench.assets.catalogue import MVTEC_AD, MVTEC_CATEGORIES
from dxbench.assets.prepare import prepare
from dxbench.errors import InvalidFile
from dxbench.files.archives import opened_tar, unpack_tar

CONTENTS = {"cats/1.png": b"cat", "cats/2.png": b"other cat", "dogs/1.png": b"dog"}


def quiet(done: int, total: int) -> None:
    pass


def asset(**changes: object) -> Asset:
    known: dict[str, object] = {
        "name": "pets",
        "title": "images",
        "kind": "data",
        "path": "pets/pets.tar.xz",
        "licence": "for pets alone",
        "must_accept": True,
        "unpack": ("cats", "dogs"),
        "task": "pets",
    }
    return Asset(**known | changes)  # type: ignore[arg-type]


def get(one: Asset, *, accept_licence: bool = True) -> tuple[str, str]:
    found = prepare(one, offline=False, accept_licence=accept_licence, progress=lambda text, done, total: None)
    return found.state, found.note


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    (folder / "pets").mkdir(parents=True)
    monkeypatch.setenv("DXBENCH_DATA", str(folder))
    return folder


def test_an_archive_is_fetched_checked_and_unpacked_beside_itself(data: Path, tmp_path: Path) -> None:
    content = write_tar(tmp_path / "pets.tar.xz", CONTENTS)
    with serving(Home(files={"/pets.tar.xz": content})) as home:
        one = asset(urls=(f"{home.url}/pets.tar.xz",), digest=f"sha256:{hashlib.sha256(content).hexdigest()}")
        assert get(one, accept_licence=False)[0] == "licence"
        assert home.asked == []
        assert get(one) == ("fetched", str(data / "pets"))
    found = {str(p.relative_to(data / "pets")): p.read_bytes() for p in (data / "pets").rglob("*.png")}
    assert found == CONTENTS
    assert sorted(path.name for path in (data / "pets").glob("[!.]*")) == ["cats", "dogs", "pets.tar.xz"]
    assert one.require() == data / "pets"
    (data / "pets" / "pets.tar.xz").unlink()  # what is unpacked suffices
    assert get(one)[0] == "there"


def test_an_archive_put_there_by_hand_is_unpacked_without_a_download(data: Path) -> None:
    content = write_tar(data / "pets" / "pets.tar.xz", CONTENTS)
    one = asset(urls=("http://127.0.0.1:9/never",), digest=f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert get(one, accept_licence=False)[0] == "fetched"
    write_tar(data / "pets" / "pets.tar.xz", {"cats/1.png": b"changed"})
    (data / "pets" / "dogs" / "1.png").unlink()
    (data / "pets" / "dogs").rmdir()
    assert one.lacking() == ["dogs"]
    state, note = get(one)
    assert (state, "wanted sha256" in note) == ("damaged", True)
    assert not (data / "pets" / "dogs").exists()


def test_an_archive_that_lacks_a_part_is_said_to(data: Path) -> None:
    write_tar(data / "pets" / "pets.tar.xz", {"cats/1.png": b"cat"})
    state, note = get(asset(by_hand="x"))
    assert (state, "lacks dogs" in note) == ("damaged", True)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"../out.png": b"x"}, "points outside"),
        ({"/abs.png": b"x"}, "points outside"),
        ({"cats/l": link("cats/l", "/etc/passwd")}, "a link or a device"),
        ({"a": b"1", "b": b"2"}, "two members of one name"),
        ({"bomb": bytes(1 << 20)}, "would expand from"),
    ],
)
def test_a_hostile_archive_leaves_nothing(
    data: Path, contents: dict[str, bytes], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "two members" in words:
        monkeypatch.setattr(tarfile.TarInfo, "name", property(lambda self: "same", lambda self, value: None))
    monkeypatch.setattr("dxbench.files.archives.SMALL_BYTES", 1000)
    path = data / "x.tar.xz"
    write_tar(path, contents)
    with pytest.raises(InvalidFile, match=words):
        unpack_tar(path, data / "pets", progress=quiet)
    assert list((data / "pets").glob("[!.]*")) == []


@pytest.mark.parametrize("keep", [0, 20, 150])
def test_an_archive_cut_short_leaves_nothing(data: Path, keep: int) -> None:
    path = data / "x.tar.xz"
    content = write_tar(path, {f"cats/{i}.png": os.urandom(500) for i in range(5)})
    path.write_bytes(content[:keep])
    with pytest.raises(InvalidFile, match="cut short or no tar archive"):
        unpack_tar(path, data / "pets", progress=quiet)
    assert list((data / "pets").glob("[!.]*")) == []


def test_a_full_disk_leaves_nothing_half_unpacked(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data / "x.tar.xz"
    write_tar(path, CONTENTS)
    written = []

    def full(self: tarfile.TarFile, member: tarfile.TarInfo, *args: object, **options: object) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(member)

    monkeypatch.setattr(tarfile.TarFile, "extract", full)
    with pytest.raises(OSError, match="No space left"):
        unpack_tar(path, data / "pets", progress=quiet)
    assert list((data / "pets").glob("[!.]*")) == []


def test_members_come_in_the_order_of_their_names(data: Path) -> None:
    path = data / "x.tar"
    write_tar(path, dict(reversed(CONTENTS.items())), "w")
    with opened_tar(path) as (_, members):
        assert [member.name for member in members] == sorted(CONTENTS)


def test_mvtec_is_fetched_only_under_its_licence_and_is_there_when_every_category_is(data: Path) -> None:
    assert get(MVTEC_AD, accept_licence=False)[0] == "licence"
    assert len(MVTEC_CATEGORIES) == 15
    for category in MVTEC_CATEGORIES:
        for part in ("train", "test", "ground_truth"):
            (data / "mvtec_ad" / category / part).mkdir(parents=True)
    assert MVTEC_AD.require() == data / "mvtec_ad"
    (data / "mvtec_ad" / "zipper" / "test").rmdir()
    assert MVTEC_AD.lacking() == ["zipper/test"]
