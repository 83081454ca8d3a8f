"""Whatever a remote holds, it is named and left, or is a sound record; nothing of it is executed or lands elsewhere."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import Ended
from places import Place, Repository

from dxbench.api import ResultRecord
from dxbench.records.files import RECORD_LIMIT, record_path, stored_text
from dxbench.records.parts import part_texts

pytest_plugins = ("places", "workshop")
Command = Callable[..., Ended]


def files_of(record: ResultRecord) -> dict[str, bytes]:
    """A record and what it names, as they lie in a repository."""
    texts = {str(record_path(Path(), record)): stored_text(record), **part_texts(record)}
    return {name: text.encode() for name, text in texts.items()}


def landed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.json")}


BENT: Mapping[str, tuple[Callable[[str, bytes], tuple[str, bytes]], str]] = {
    "changed": (lambda name, text: (name, text.replace(b'"seed":0', b'"seed":7')), "changed since it was written"),
    "of another name": (lambda name, text: ("tiny/other/x.json", text), "a copy would count twice"),
    "no JSON": (lambda name, text: (name, b"import os; os.system('touch owned')"), "not readable as JSON"),
    "deep": (lambda name, text: (name, b"[" * 100_000), "not readable as JSON"),
    "huge": (lambda name, text: (name, b" " * (RECORD_LIMIT + 1)), "at most 4,194,304 are read"),
    "newer": (lambda name, text: (name, b'{"schema_version": 99}'), "update dxbench to read it"),
    "control characters": (lambda name, text: ("tiny/sound/\x1b[2J.json", text), "its name is none that a record has"),
    "a name that is too long": (lambda name, text: (f"tiny/sound/{'a' * 200}.json", text), "its name is none"),
}


@pytest.mark.parametrize("bend", BENT)
def test_a_bent_record_is_named_and_the_sound_one_lands(
    dxbench: Command, place: Place, tmp_path: Path, sound: list[ResultRecord], bend: str
) -> None:
    change, said = BENT[bend]
    first = files_of(sound[0])
    name = str(record_path(Path(), sound[0]))
    bent, text = change(name, first.pop(name))
    place.put({**first, **files_of(sound[1]), bent: text})
    pulled = dxbench("pull", place.address, "--results", tmp_path / "theirs")
    assert (pulled.code, said in pulled.err) == (5, True), pulled.err
    assert "\x1b" not in pulled.err
    assert landed(tmp_path / "theirs") == files_of(sound[1]).keys()
    assert not Path("owned").exists()


def test_a_record_whose_protocol_was_altered_is_no_record(
    dxbench: Command, place: Place, tmp_path: Path, sound: list[ResultRecord]
) -> None:
    files = files_of(sound[0])
    protocol = next(name for name in files if name.startswith("protocols/"))
    fields = json.loads(files[protocol])
    place.put({**files, protocol: json.dumps({**fields, "name": "another"}).encode()})
    pulled = dxbench("pull", place.address, "--results", tmp_path / "theirs")
    assert (pulled.code, "changed since" in pulled.err, landed(tmp_path / "theirs")) == (5, True, set())


def test_what_is_no_part_of_a_board_is_never_fetched(
    dxbench: Command, place: Place, tmp_path: Path, sound: list[ResultRecord]
) -> None:
    others = {
        "README.md": b"A board.",
        ".github/workflows/a.json": b"{}",
        "setup.py": b"raise SystemExit",
        "conftest.py": b"raise SystemExit",
        "pictures/tiny/sound/x.png": b"no picture",
        "published/a/b.json": b"{}",
        "tiny/sound/deeper/x.json": b"{}",
        ".gitattributes": b"* filter=owned",
    }
    place.put({**files_of(sound[0]), **others})
    pulled = dxbench("pull", place.address, "--results", tmp_path / "theirs")
    assert pulled.code == 0, pulled.err
    everything = {str(path.relative_to(tmp_path / "theirs")) for path in (tmp_path / "theirs").rglob("*.*")}
    assert everything - {".merge.lock"} == files_of(sound[0]).keys()


def test_links_and_other_repositories_are_not_followed(
    dxbench: Command, repository: Repository, tmp_path: Path, sound: list[ResultRecord]
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(stored_text(sound[0]))
    repository.put(files_of(sound[1]))
    repository.put({str(record_path(Path(), sound[0])): str(secret).encode()}, mode="120000")
    pulled = dxbench("pull", repository.address, "--results", tmp_path / "theirs")
    assert (pulled.code, "a link, or no regular file" in pulled.err) == (5, True)
    assert landed(tmp_path / "theirs") == files_of(sound[1]).keys()


def test_names_that_lead_out_of_the_folder_lead_nowhere(
    dxbench: Command, data_set: Place, tmp_path: Path, sound: list[ResultRecord]
) -> None:
    text = stored_text(sound[0]).encode()
    data_set.put({**files_of(sound[1]), "../up/x.json": text, "tiny/../x.json": text, "/etc/x/y.json": text})
    pulled = dxbench("pull", data_set.address, "--results", tmp_path / "a" / "theirs")
    assert (pulled.code, "its name is none that a record has" in pulled.err) == (5, True), pulled.err
    assert landed(tmp_path / "a") == {f"theirs/{name}" for name in files_of(sound[1])}
    assert not (tmp_path / "up").exists()
