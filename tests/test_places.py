"""Places that users name are written to as a shell would; folders are filled whole or stay as they were."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from conftest import Ended

from dxbench.errors import InvalidFile, MachineFault, UsageError
from dxbench.files.faults import refusing_damage
from dxbench.files.writing import append_named, whole_folder, write_named

Command = Callable[..., Ended]


class TestNamedPlaces:
    def test_a_file_keeps_its_mode_its_other_names_and_the_links_to_it(self, tmp_path: Path):
        file, other, link = (tmp_path / name for name in ("file", "other", "link"))
        file.write_text("longer than what follows")
        file.chmod(0o600)
        other.hardlink_to(file)
        link.symlink_to("file")
        write_named(link, "new")
        assert (other.read_text(), link.is_symlink(), stat.S_IMODE(file.stat().st_mode)) == ("new", True, 0o600)
        append_named(link, "er")
        assert other.read_text() == "newer"

    def test_a_new_file_has_the_mode_that_the_umask_leaves_also_through_a_link(self, tmp_path: Path):
        (tmp_path / "link").symlink_to("file")
        before = os.umask(0o027)
        try:
            write_named(tmp_path / "link", "new")
            write_named(tmp_path / "deep" / "er" / "file", b"new")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
        assert (tmp_path / "deep" / "er" / "file").read_text() == "new"

    def test_a_pipe_is_written_to_and_stays_one(self, tmp_path: Path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        got: list[str] = []
        reader = Thread(target=lambda: got.append(pipe.read_text()))
        reader.start()
        write_named(pipe, "x" * 200_000)
        reader.join()
        assert (got, pipe.is_fifo()) == (["x" * 200_000], True)

    def test_a_pipe_that_nobody_reads_is_not_waited_for_for_ever(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("dxbench.files.writing.READER_SECONDS", 0.2)
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UsageError, match="nothing has opened for reading"):
            write_named(tmp_path / "pipe", "x")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
    @pytest.mark.parametrize("size", [1, 1 << 20])
    def test_a_full_disk_is_the_machines_fault_and_a_device_stays_one(self, size: int):
        with pytest.raises(MachineFault, match="/dev/full: no space is left"):
            write_named(Path("/dev/full"), "x" * size)
        assert Path("/dev/full").is_char_device()

    def test_places_that_cannot_be_are_said_in_a_sentence(self, tmp_path: Path):
        (tmp_path / "file").write_text("kept")
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to("folder")
        (tmp_path / "circle").symlink_to("circle")
        for place, words in (
            ("folder", "is a folder; name a file in it"),
            ("link", "is a folder; name a file in it"),
            ("file/x", "is a file; choose another"),
            ("file/x/y", "is a file; choose another"),
            ("circle", "symbolic links"),
            ("n" * 300, "too long"),
        ):
            with pytest.raises(UsageError, match=words):
                write_named(tmp_path / place, "x")
        assert (tmp_path / "file").read_text() == "kept"

    def test_a_stream_of_ones_own_goes_on_where_it_is(self, tmp_path: Path):
        """Were it opened anew, what is printed next would stand upon it."""
        code = "from dxbench.files import write_named; from pathlib import Path; print('one'); "
        code += "write_named(Path('/dev/stdout'), 'two\\n'); print('three')"
        with (tmp_path / "out").open("w") as out:
            subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
        assert (tmp_path / "out").read_text() == "one\ntwo\nthree\n"

    def test_commands_end_with_the_code_of_their_trouble(self, dxbench: Command, tmp_path: Path):
        table = ("table", "-t", "gaussians8", "--metric", "sw2", "-o")
        assert dxbench(*table, tmp_path).code == 2
        assert dxbench(*table, "/dev/full").code == 8
        assert dxbench(*table, "/dev/stdout").out.startswith("gaussians8")
        assert dxbench(*table, "/dev/null").code == 0
        assert Path("/dev/null").is_char_device()


class TestFolders:
    def test_are_filled_whole_and_keep_what_has_no_new_name(self, tmp_path: Path):
        folder = tmp_path / "folder"
        folder.mkdir(mode=0o750)
        (folder / "CNAME").write_text("mine")
        (folder / "tasks").mkdir()
        (folder / "tasks" / "old.html").write_text("old")
        inode = folder.stat().st_ino
        (tmp_path / "link").symlink_to("folder")
        with whole_folder(tmp_path / "link") as new:
            (new / "tasks").mkdir()
            (new / "tasks" / "new.html").write_text("new")
            assert (folder / "tasks" / "old.html").exists()
        assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == {"CNAME", "tasks", "tasks/new.html"}
        assert (folder.stat().st_ino, stat.S_IMODE(folder.stat().st_mode)) == (inode, 0o750)

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_are_as_they_were_where_something_failed(self, tmp_path: Path, error: type[BaseException]):
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "a").write_text("old")
        for folder in (tmp_path / "there", tmp_path / "not" / "there"):
            with pytest.raises(error):
                fill_and_raise(folder, error)
        assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["there", "there/a"]
        assert (tmp_path / "there" / "a").read_text() == "old"

    def test_a_link_within_is_replaced_and_not_followed(self, tmp_path: Path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "mine").write_text("kept")
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "tasks").symlink_to(tmp_path / "elsewhere")
        with whole_folder(tmp_path / "site") as new:
            (new / "tasks").mkdir()
        assert (tmp_path / "elsewhere" / "mine").read_text() == "kept"
        assert not (tmp_path / "site" / "tasks").is_symlink()

    def test_a_full_disk_names_the_folder(self, tmp_path: Path):
        with pytest.raises(MachineFault, match=f"{tmp_path}.*no space is left"), whole_folder(tmp_path / "site"):
            raise OSError(28, "No space left on device")
        assert list(tmp_path.iterdir()) == []

    def test_below_a_file_there_is_none(self, tmp_path: Path, dxbench: Command):
        (tmp_path / "file").write_text("kept")
        for arguments in (
            ("leaderboard", "build", "-o", tmp_path / "file" / "site"),
            ("leaderboard", "build", "-o", tmp_path / "file"),
            ("new", "method", "some_name", "--folder", tmp_path / "file" / "x"),
        ):
            ended = dxbench(*arguments)
            assert ended.code == 2, ended
        assert (tmp_path / "file").read_text() == "kept"


def fill_and_raise(folder: Path, error: type[BaseException]) -> None:
    with whole_folder(folder) as new:
        (new / "a").write_text("new")
        raise error


def test_what_a_parser_raises_is_damage_and_what_the_machine_does_is_not():
    for error in (KeyError("a"), MemoryError(), RecursionError("deep"), OSError("odd"), AssertionError()):
        with pytest.raises(InvalidFile, match=r"x is damaged: ."), refusing_damage("x is damaged"):
            raise error
    for error in (OSError(28, "full"), UsageError("ours")):
        with pytest.raises(type(error)), refusing_damage("x is damaged"):
            raise error
