"""Transfers from a real server: whole, broken, resumed, wrong, refused."""

import hashlib
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from homes import Home, serving

from dxbench.assets import Asset
from dxbench.assets.download import DownloadFailed, fetch, held
from dxbench.assets.prepare import look, prepare
from dxbench.errors import InvalidFile, MissingData

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("dxbench.assets.download.CHUNK", 10_000)
    with serving(Home(files={"/a.bin": CONTENT})) as found:
        yield found


def asset(server: Home, **changes: object) -> Asset:
    known: dict[str, object] = {
        "name": "a",
        "title": "a file",
        "kind": "data",
        "path": "sub/a.bin",
        "urls": (f"{server.url}/a.bin",),
        "digest": f"sha256:{SHA256}",
        "licence": "none",
        "task": "tests",
    }
    return Asset(**known | changes)  # type: ignore[arg-type]


def quiet(done: int, total: int | None) -> None:
    pass


def get(one: Asset, **options: bool) -> tuple[str, str]:
    chosen = {"offline": False, "accept_licence": False} | options
    found = prepare(one, **chosen, progress=lambda text, done, total: None)
    return found.state, found.note


def files(one: Asset) -> list[str]:
    return sorted(path.name for path in one.target.parent.glob("*") if not path.name.endswith(".lock"))


def test_a_file_comes_whole_with_progress_and_nothing_beside_it(server: Home) -> None:
    told: list[tuple[int, int | None]] = []
    one = asset(server)
    assert fetch(one, progress=lambda done, total: told.append((done, total))).read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert files(one) == ["a.bin"]
    assert get(one) == ("there", str(one.target))
    assert len(server.asked) == 1


def test_a_broken_transfer_goes_on_where_it_stopped(server: Home) -> None:
    server.break_after = [100_000, 50_000]
    one = asset(server)
    with pytest.raises(DownloadFailed, match=r"The 100,000 bytes that came are kept.*put the file at"):
        fetch(one, progress=quiet)
    assert files(one) == ["a.bin.part"]
    state, note = get(one)
    assert state == "failed"
    assert "150,000 bytes" in note
    assert get(one)[0] == "fetched"
    assert one.target.read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert files(one) == ["a.bin"]


def test_a_home_without_ranges_starts_over(server: Home) -> None:
    server.break_after, server.ranges = [100_000], False
    one = asset(server)
    assert get(one)[0] == "failed"
    assert get(one)[0] == "fetched"
    assert one.target.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_that_is_already_whole_is_not_fetched_again(server: Home, size: int | None) -> None:
    one = asset(server, size=size)
    one.target.parent.mkdir(parents=True)
    one.target.with_name("a.bin.part").write_bytes(CONTENT)
    assert get(one)[0] == "fetched"
    assert one.target.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_longer_than_the_file_is_thrown_away(server: Home, size: int | None) -> None:
    one = asset(server, size=size)
    one.target.parent.mkdir(parents=True)
    one.target.with_name("a.bin.part").write_bytes(b"x" * 400_000)
    if size is None:
        assert "was removed" in get(one)[1]
    assert get(one)[0] == "fetched"
    assert one.target.read_bytes() == CONTENT


def test_the_next_mirror_is_tried(server: Home) -> None:
    one = asset(server, urls=(f"{server.url}/gone.bin", "http://127.0.0.1:9/a.bin", f"{server.url}/a.bin"))
    assert get(one)[0] == "fetched"
    assert one.target.read_bytes() == CONTENT


def test_every_mirror_that_failed_is_named_with_its_reason(server: Home) -> None:
    state, note = get(asset(server, urls=(f"{server.url}/gone.bin", "http://127.0.0.1:9/a.bin")))
    assert state == "failed"
    assert "404" in note
    assert "127.0.0.1:9/a.bin: " in note
    assert "Nothing came" in note


def test_another_file_than_the_one_wanted_is_not_kept(server: Home) -> None:
    server.files["/a.bin"] = b"<html>quota exceeded</html>"
    one = asset(server)
    with pytest.raises(InvalidFile, match="not the file that is wanted, and was not kept"):
        fetch(one, progress=quiet)
    assert files(one) == []
    assert get(one)[0] == "damaged"


def test_a_file_of_another_size_is_not_kept(server: Home) -> None:
    one = asset(server, size=299_999, digest=None)
    assert "has 300,000 bytes, wanted 299,999" in get(one)[1]
    assert files(one) == []


def test_a_cut_transfer_of_unknown_length_is_not_taken_for_the_file(server: Home) -> None:
    server.lengths, server.break_after = False, [100_000]
    state, note = get(asset(server, digest=None))
    assert state == "failed"
    assert "does not say how long the file is, so that a cut transfer would look whole" in note
    server.break_after = [100_000]
    one = asset(server)  # with a digest it is found out
    assert get(one)[0] == "damaged"
    assert get(one)[0] == "fetched"


def test_chunks_mark_their_end(server: Home) -> None:
    server.chunked, server.break_after = True, [100_000]
    one = asset(server, digest=None)
    assert get(one)[0] == "failed"
    assert get(one)[0] == "fetched"
    assert one.target.read_bytes() == CONTENT


def test_what_no_digest_would_check_is_not_pieced_together(server: Home) -> None:
    server.break_after = [100_000]
    one = asset(server, digest=None)
    assert get(one)[0] == "failed"
    assert files(one) == []
    server.files["/a.bin"] = CONTENT[::-1]  # another version, meanwhile
    assert get(one)[0] == "fetched"
    assert one.target.read_bytes() == CONTENT[::-1]


def test_a_part_that_is_a_link_is_not_written_through(server: Home, tmp_path: Path) -> None:
    one, precious = asset(server), tmp_path / "precious"
    precious.write_bytes(b"mine")
    one.target.parent.mkdir(parents=True)
    one.target.with_name("a.bin.part").symlink_to(precious)
    assert get(one)[0] == "fetched"
    assert precious.read_bytes() == b"mine"
    assert not one.target.is_symlink()


def test_the_first_digits_of_a_sha256_suffice(server: Home) -> None:
    assert get(asset(server, digest=f"sha256:{SHA256[:8]}"))[0] == "fetched"
    assert get(asset(server, digest="sha256:00000000"))[0] == "damaged"


def test_a_first_use_is_called_unverified_until_somebody_states_the_hash(server: Home) -> None:
    one = asset(server, digest=None)
    assert one.unverified is None  # nothing is there
    for state in ("fetched", "there"):
        assert get(one) == (
            state,
            f"{one.target}; a is unverified: nobody publishes the hash of a.bin (sha256 {SHA256} as first used here)",
        )
    assert asset(server).unverified is None


def test_one_process_fetches_and_the_other_finds_it_there(server: Home) -> None:
    one, told = asset(server), list[str]()
    with held(one, waiting=lambda: None):
        other = threading.Thread(
            target=lambda: prepare(
                one, offline=False, accept_licence=False, progress=lambda text, done, total: told.append(text)
            )
        )
        other.start()
        while not told:
            time.sleep(0.01)
        fetch(one, progress=quiet)
    other.join()
    assert told == ["waiting for another process that fetches a", "checking a"]
    assert len(server.asked) == 1


def test_md5_is_checked_where_it_is_what_the_authors_publish(server: Home) -> None:
    digest = hashlib.md5(CONTENT).hexdigest()
    assert get(asset(server, digest=f"md5:{digest}"))[0] == "fetched"
    one = asset(server, digest="md5:" + "0" * 32)
    assert get(one)[0] == "damaged"
    with pytest.raises(InvalidFile, match=f"wanted md5 0+, got {digest}"):
        one.verify()


def test_an_unknown_hash_is_recorded_on_first_use_and_checked_ever_after(server: Home) -> None:
    one = asset(server, digest=None)
    assert get(one)[0] == "fetched"
    record = one.target.with_name("a.bin.sha256")
    assert record.read_text() == f"{SHA256}  a.bin\n"
    assert one.verify() == one.target
    one.target.write_bytes(CONTENT[:-1])
    with pytest.raises(InvalidFile, match=r"recorded in .*a.bin.sha256 when it was first used"):
        one.verify()
    state, note = get(one)
    assert state == "damaged"
    assert "remove the file and fetch it with `dxbench prepare --task tests`" in note
    record.write_text("not a hash\n")
    with pytest.raises(InvalidFile, match=r"records no sha256 of a.bin"):
        one.verify()


def test_hashes_of_files_in_a_folder_that_is_read_only_are_kept_with_the_runs(
    server: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = asset(server, digest=None)
    fetch(one, progress=quiet)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    one.verify()
    assert files(one) == ["a.bin"]
    assert (tmp_path / "home" / "hashes" / "a.sha256").read_text().startswith(SHA256)
    one.target.write_bytes(b"changed")
    with pytest.raises(InvalidFile, match="when it was first used"):
        one.verify()


def test_offline_nothing_is_asked_for(server: Home) -> None:
    state, note = get(asset(server), offline=True)
    assert state == "missing"
    assert "--offline" in note
    assert server.asked == []


def test_terms_have_to_be_accepted_before_anything_is_fetched(server: Home) -> None:
    one = asset(server, must_accept=True, licence="for research alone")
    state, note = get(one)
    assert (state, server.asked) == ("licence", [])
    assert (
        "`dxbench prepare --task tests --accept-licence` fetches it if you accept its licence (for research alone)"
        in note
    )
    assert get(one, accept_licence=True)[0] == "fetched"
    assert get(one)[0] == "there"


def test_what_a_person_has_to_fetch_is_said_and_checked_when_it_is_there(server: Home) -> None:
    one = asset(server, urls=(), by_hand="Ask its owner.")
    assert get(one) == ("by hand", f"Ask its owner. It is looked for at {one.target}.")
    with pytest.raises(MissingData, match="dxbench prepare --task tests"):
        one.require()
    one.target.parent.mkdir(parents=True)
    one.target.write_bytes(b"another")
    assert get(one)[0] == "damaged"
    one.target.write_bytes(CONTENT)
    assert get(one)[0] == "there"


def test_a_file_under_another_of_its_names_is_found(server: Home, tmp_path: Path) -> None:
    one = asset(server, also=("b.bin",))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.bin").write_bytes(CONTENT)
    assert get(one) == ("there", str(tmp_path / "data" / "b.bin"))
    assert look(one).ok


@pytest.fixture
def full_disk() -> Iterator[Callable[[], None]]:
    """Files beyond 120,000 bytes are refused, the way a full disk refuses the next block, until it is called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, hard))

    def make_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    yield make_room
    make_room()
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_keeps_what_came_and_says_how_much_room_it_takes(
    server: Home, full_disk: Callable[[], None]
) -> None:
    one = asset(server, size=len(CONTENT), urls=(f"{server.url}/a.bin", f"{server.url}/mirror.bin"))
    state, note = get(one)
    assert state == "failed"
    assert "no space left on the disk" in note
    assert "Make room for 300,000 bytes" in note
    assert files(one) == ["a.bin.part"]
    assert len(server.asked) == 1  # another mirror makes no room
    full_disk()
    assert get(one)[0] == "fetched"
    assert one.target.read_bytes() == CONTENT
