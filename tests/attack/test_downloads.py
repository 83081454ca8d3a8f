"""Many processes that want one file, and homes that break off and change, at random: the file is whole or absent."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from homes import Home, serving
from hostile import attack
from hypothesis import given
from hypothesis import strategies as st

from dxbench.assets import Asset
from dxbench.assets.prepare import prepare

pytestmark = pytest.mark.attack

CONTENT = np.random.default_rng(0).bytes(6_000_000)
SHORT = CONTENT[:5000]
ONE = """
import sys, time
from dxbench.assets import Asset
from dxbench.assets.prepare import prepare
url, digest, start = sys.argv[1:]
known = dict(name="a", title="a file", kind="data", path="a.bin", licence="none", task="t")
one = Asset(urls=(url,), digest=digest or None, **known)
time.sleep(max(0.0, float(start) - time.time()))
found = prepare(one, offline=False, accept_licence=False, progress=lambda text, done, total: None)
print(found.state, found.note)
"""


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("count", [4, 8, 16])
def test_one_transfer_serves_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, known: bool
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    with serving(Home(files={"/a.bin": CONTENT})) as server:
        digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}" if known else ""
        command = [sys.executable, "-c", ONE, f"{server.url}/a.bin", digest, str(time.time() + 0.3 * count)]
        crew = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        ends = [process.communicate(timeout=120)[0].split()[0] for process in crew]
    assert sorted(ends) == ["fetched", *["there"] * (count - 1)]
    assert len(server.asked) == 1
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert not list(tmp_path.glob("*.part"))


def test_whatever_a_home_does_the_file_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dxbench.assets.download.CHUNK", 500)
    kinds = {
        None: None,
        "sha256": f"sha256:{hashlib.sha256(SHORT).hexdigest()}",
    }
    number = 0

    @attack(600)
    @given(
        breaks=st.lists(st.integers(0, 6000), max_size=3),
        ranges=st.booleans(),
        lengths=st.booleans(),
        chunked=st.booleans(),
        kind=st.sampled_from([None, "sha256"]),
        size=st.sampled_from([None, len(SHORT), len(SHORT) + 1]),
        part=st.sampled_from([None, b"", b"x" * 100, SHORT[:1000], SHORT, SHORT + b"more"]),
        other=st.booleans(),
    )
    def strike(
        breaks: list[int],
        ranges: bool,
        lengths: bool,
        chunked: bool,
        kind: str | None,
        size: int | None,
        part: bytes | None,
        other: bool,
    ) -> None:
        nonlocal number
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setenv("DXBENCH_DATA", str(folder))
        if part is not None:
            (folder / "a.bin.part").write_bytes(part)
        server.files = {"/a.bin": SHORT}
        server.break_after, server.ranges, server.lengths, server.chunked = list(breaks), ranges, lengths, chunked
        one = Asset(
            name="a",
            title="a file",
            kind="data",
            path="a.bin",
            urls=(f"{server.url}/a.bin",),
            digest=kinds[kind],
            size=size,
            licence="none",
            task="t",
        )
        for attempt in range(len(breaks) + 2):
            if other and attempt:
                server.files = {"/a.bin": SHORT[::-1]}
            found = prepare(one, offline=False, accept_licence=False, progress=lambda text, done, total: None)
            if found.ok:
                break
        whole = [SHORT] if kind else [SHORT, SHORT[::-1]]
        assert not found.ok or (folder / "a.bin").read_bytes() in whole
        assert found.ok or not (folder / "a.bin").exists()

    with serving(Home(files={})) as server:
        strike()
