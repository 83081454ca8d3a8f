"""Files that are known by what they hold, however a home has packed it, and found where a system keeps them."""

import gzip
import hashlib
from pathlib import Path

import pytest
from homes import Home, serving

from dxbench.assets import Asset
from dxbench.assets.prepare import prepare
from dxbench.errors import InvalidFile
from dxbench.files.archives import opened_unpacked

CONTENT = bytes(range(256)) * 100


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def asset(**changes: object) -> Asset:
    known: dict[str, object] = {
        "name": "a",
        "title": "a file",
        "kind": "data",
        "path": "set/a.gz",
        "digest": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}",
        "opened": opened_unpacked,
        "licence": "none",
        "by_hand": "Pack it.",
        "task": "tests",
    }
    return Asset(**known | changes)  # type: ignore[arg-type]


def state_of(one: Asset) -> tuple[str, str]:
    found = prepare(one, offline=False, accept_licence=False, progress=lambda text, done, total: None)
    return found.state, found.note


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(CONTENT, mtime=0), gzip.compress(CONTENT, 1, mtime=1504176606), CONTENT],
    ids=["one header", "another header", "unpacked"],
)
def test_every_packing_of_the_contents_is_the_file(data: Path, packed: bytes) -> None:
    (data / "set").mkdir(parents=True)
    (data / "set/a.gz").write_bytes(packed)
    assert asset().verify() == data / "set/a.gz"


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (gzip.compress(CONTENT[:-1]), "wanted sha256"),
        (gzip.compress(CONTENT)[:-9], "cut short or damaged"),
        (gzip.compress(bytes(200 << 20), 1), "would expand from"),
    ],
    ids=["other contents", "cut short", "bomb"],
)
def test_anything_else_is_refused(data: Path, packed: bytes, message: str) -> None:
    (data / "set").mkdir(parents=True)
    (data / "set/a.gz").write_bytes(packed)
    with pytest.raises(InvalidFile, match=message):
        asset().verify()
    assert state_of(asset())[0] == "damaged"


def test_a_folder_of_the_system_is_a_place_to_find_it(tmp_path: Path) -> None:
    place = tmp_path / "usr/share/a.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(gzip.compress(CONTENT))
    assert state_of(asset(also=(str(place),))) == ("there", str(place))


def test_a_damaged_packing_that_is_fetched_is_not_kept(data: Path) -> None:
    packed = gzip.compress(CONTENT)
    with serving(Home(files={"/cut.gz": packed[:-9], "/a.gz": packed})) as home:
        state, note = state_of(asset(urls=(f"{home.url}/cut.gz",)))
        assert state == "damaged"
        assert "was not kept" in note
        assert not list(data.rglob("a.gz*"))
        assert state_of(asset(urls=(f"{home.url}/a.gz",)))[0] == "fetched"
