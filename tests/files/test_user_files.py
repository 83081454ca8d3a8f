"""Text that users write, places they name, and streams they print to: encodings are no reason for a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dxbench import paths
from dxbench.boards.published import read_published
from dxbench.errors import InvalidFile, UsageError
from dxbench.plugins.registry import load_task
from dxbench.plugins.suites import load_suite
from dxbench.records.files import Unreadable, read_record
from dxbench.submissions.manifest import parse_manifest

SUITE = (
    'name = "s"\ntitle = "Müll"\ntask = "gaussians8"\nseeds = [0]\n'
    '[[rows]]\nlabel = "a"\nmethod = "ddpm"\nset = {num_steps = 5}\n'
)
PLACES = {
    "DXBENCH_HOME": paths.home,
    "DXBENCH_DATA": paths.data,
    "DXBENCH_RESULTS": paths.results,
    "DXBENCH_CACHE": paths.cache,
}


class TestSuites:
    @pytest.mark.parametrize(
        "content",
        [SUITE.replace("\n", "\r\n").encode(), b"\xef\xbb\xbf" + SUITE.encode()],
        ids=["carriage returns", "byte order mark"],
    )
    @pytest.mark.parametrize("name", ["s.toml", "my suite.TOML"])
    def test_of_windows_are_read(self, tmp_path: Path, content: bytes, name: str):
        (tmp_path / name).write_bytes(content)
        assert load_suite(str(tmp_path / name)).title == "Müll"

    @pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
    def test_in_another_encoding_are_refused_with_the_remedy(self, tmp_path: Path, encoding: str):
        (tmp_path / "s.toml").write_bytes(SUITE.encode(encoding))
        with pytest.raises(UsageError, match=r"is not in UTF-8 .*; save it in that encoding"):
            load_suite(str(tmp_path / "s.toml"))

    @pytest.mark.parametrize("content", [b"\0", b"a = " + b"[" * 5000, b"seeds = [" + b"9" * 5000 + b"]"])
    def test_of_nonsense_are_refused(self, tmp_path: Path, content: bytes):
        (tmp_path / "s.toml").write_bytes(content)
        with pytest.raises(UsageError, match="is not valid"):
            load_suite(str(tmp_path / "s.toml"))


class TestRecords:
    whole = next((paths.reference_results() / "gaussians8" / "ddpm").glob("*.json"))

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_in_any_unicode_encoding_are_the_same(self, tmp_path: Path, encoding: str):
        text = self.whole.read_text(encoding="utf-8").replace("\n", "\r\n")
        for part in ("protocols", "cards"):
            (tmp_path / part).symlink_to(self.whole.parents[2] / part)
        copy = tmp_path / "gaussians8" / "ddpm" / "r.json"
        copy.parent.mkdir(parents=True)
        copy.write_bytes(text.encode(encoding))
        assert read_record(copy) == read_record(self.whole)

    @pytest.mark.parametrize("content", [b"", b"\xfc", b"[" * 100_000, b'{"schema_version": ' + b"2" * 5000 + b"}"])
    def test_of_nonsense_are_unreadable(self, tmp_path: Path, content: bytes):
        (tmp_path / "r.json").write_bytes(content)
        assert isinstance(read_record(tmp_path / "r.json"), Unreadable)
        with pytest.raises(InvalidFile):
            parse_manifest(content)
        with pytest.raises(InvalidFile, match=r"r\.json"):
            read_published(tmp_path)


class TestPlaces:
    def test_an_empty_variable_is_as_good_as_unset(self, monkeypatch: pytest.MonkeyPatch):
        for name in PLACES:
            monkeypatch.delenv(name, raising=False)
        unset = {name: place() for name, place in PLACES.items()}
        assert unset["DXBENCH_HOME"] == Path("runs")
        for empty in ("", " "):
            for name in PLACES:
                monkeypatch.setenv(name, empty)
            assert {name: place() for name, place in PLACES.items()} == unset

    @pytest.mark.parametrize("name", PLACES)
    def test_a_tilde_is_the_home_folder(self, monkeypatch: pytest.MonkeyPatch, name: str):
        monkeypatch.setenv(name, "~/somewhere")
        assert PLACES[name]() == Path.home() / "somewhere"
        monkeypatch.setenv(name, "~nobody-of-that-name/somewhere")
        with pytest.raises(UsageError, match=name):
            PLACES[name]()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("table", "--task", "gaussians8"), 0), (("eval", "nö \udcff↓.npz", "--task", "gaussians8"), 7)],
    ids=["results", "a message"],
)
def test_a_stream_without_the_character_gets_another(encoding: str, arguments: tuple[str, ...], code: int):
    command = [os.fsencode(part) for part in (sys.executable, "-m", "dxbench", *arguments)]
    ended = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding})
    assert ended.returncode == code, ended.stderr
    assert b"?" in (ended.stdout if code == 0 else ended.stderr)


def test_a_refusal_names_no_address(tmp_path: Path):
    (tmp_path / "ring.py").write_text("class Ring:\n    pass\n\nring = Ring()\nmake = lambda: Ring()\n")
    for name in ("Ring", "ring", "make"):
        with pytest.raises(UsageError, match=r"is not a dxbench\.api\.Task class, got the") as refusal:
            load_task(f"{tmp_path / 'ring.py'}:{name}")
        assert " at 0x" not in str(refusal.value)


class TestNumbersOfPapers:
    @pytest.mark.parametrize(
        ("old", "new"),
        [('"value": ', '"value": -1e999, "x": '), ('"schema_version": 1', f'"schema_version": {"1" * 5000}')],
    )
    def test_out_of_range_are_refused(self, tmp_path: Path, old: str, new: str):
        text = (paths.published() / "vgs.json").read_text(encoding="utf-8")
        assert old in text
        (tmp_path / "x.json").write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(InvalidFile, match=r"x\.json"):
            read_published(tmp_path)

    def test_in_a_pipe_are_refused(self, tmp_path: Path):
        os.mkfifo(tmp_path / "x.json")
        with pytest.raises(InvalidFile, match="no regular file but a pipe"):
            read_published(tmp_path)
