"""Files from strangers: damaged, oversized, out of place or of another schema. Each is refused by name."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended
from workshop import npy

from dxbench.errors import InvalidFile, MissingData
from dxbench.submissions import archive
from dxbench.submissions.archive import Archive, npy_bytes, parse_npy
from dxbench.submissions.challenge import BLOCK, block_hashes, block_sizes, chosen_blocks
from dxbench.submissions.manifest import MANIFEST, parse_manifest, sha256
from dxbench.submissions.validate import Report

pytest_plugins = ("workshop",)

Members = dict[str, bytes]


def problems(report: Report) -> list[str]:
    return [f"{defect.where}: {defect.problem}" for defect in report.defects]


def the_only_problem(report: Report) -> str:
    assert len(report.defects) == 1, problems(report)
    return problems(report)[0]


def first(members: Members, folder: str) -> str:
    return sorted(name for name in members if name.startswith(folder))[0]


def replaced(folder: str, data: bytes | Callable[[bytes], bytes]) -> Callable[[Members], Members]:
    """The first member of a folder with other contents."""

    def change(members: Members) -> Members:
        name = first(members, folder)
        return members | {name: data(members[name]) if callable(data) else data}

    return change


def test_a_bundle_cut_short_is_named(workshop: Any) -> None:
    path = workshop.build()
    path.write_bytes(path.read_bytes()[:-200])
    assert "not a readable zip file" in the_only_problem(workshop.validate(path))


def test_a_file_that_is_no_zip_and_one_that_is_not_there(workshop: Any, tmp_path: Path) -> None:
    text = tmp_path / "bundle.txt"
    text.write_text("hello")
    assert "not a readable zip file" in the_only_problem(workshop.validate(text))
    with pytest.raises(MissingData, match="no file"):
        workshop.validate(tmp_path / "nothing.zip")


def test_a_member_with_flipped_bytes_is_named(workshop: Any) -> None:
    path = workshop.build()
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as bundle:
        info = bundle.getinfo(first(dict.fromkeys(bundle.namelist(), b""), "samples/"))
    middle = info.header_offset + 200 + info.compress_size // 2
    data[middle : middle + 20] = bytes(20)
    path.write_bytes(data)
    assert "damaged" in the_only_problem(workshop.validate(path))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../records/evil.json", "a path that leaves the bundle"),
        ("records/../../evil.json", "a path that leaves the bundle"),
        ("records\\..\\evil.json", "a path that leaves the bundle"),
        ("/etc/passwd", "an absolute path"),
        ("C:/evil.json", "an absolute path"),
        ("setup.py", "no member of a bundle"),
        ("records/sub/evil.json", "no member of a bundle"),
        ("samples/evil.pkl", "no member of a bundle"),
        ("records/", "no member of a bundle"),
    ],
)
def test_members_out_of_place_are_refused(workshop: Any, name: str, problem: str) -> None:
    path = workshop.rezip(workshop.build(), lambda members: members | {name: b"{}"})
    assert problem in the_only_problem(workshop.validate(path))
    assert not (workshop.folder.parent / "evil.json").exists()


def test_a_member_the_manifest_does_not_name_is_refused(workshop: Any) -> None:
    path = workshop.rezip(workshop.build(), lambda members: members | {"records/extra.json": b"{}"})
    assert the_only_problem(workshop.validate(path)) == "records/extra.json: not named in the manifest"


def test_a_symbolic_link_is_refused(workshop: Any) -> None:
    path = workshop.build()
    with zipfile.ZipFile(path, "a") as bundle:
        link = zipfile.ZipInfo("records/link.json")
        link.external_attr = 0o120777 << 16
        bundle.writestr(link, "/etc/passwd")
    assert "a symbolic link" in the_only_problem(workshop.validate(path))


def test_a_member_given_twice_is_refused(workshop: Any) -> None:
    path = workshop.build()
    with zipfile.ZipFile(path, "a") as bundle, pytest.warns(UserWarning, match="Duplicate"):
        bundle.writestr(MANIFEST, b"{}")
    assert "twice in the bundle" in the_only_problem(workshop.validate(path))


def test_an_oversized_member_is_refused_before_it_is_unpacked(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workshop.build()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("records/bomb.json", b" " * (archive.LIMITS["records"] + 1))
    assert path.stat().st_size < 2_000_000
    read: list[str] = []
    plain = Archive.read
    monkeypatch.setattr(Archive, "read", lambda self, name, **more: (read.append(name), plain(self, name, **more))[1])
    assert "records/bomb.json: 1.0 MiB unpacked, at most 1 are read" in the_only_problem(workshop.validate(path))
    assert "records/bomb.json" not in read


def test_too_many_members_and_too_much_in_all_are_refused(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workshop.build()
    monkeypatch.setattr(archive, "MEMBER_LIMIT", 4)
    assert "5 members" in problems(workshop.validate(path))[0]
    monkeypatch.setattr(archive, "MEMBER_LIMIT", 2001)
    monkeypatch.setattr(archive, "TEXT_LIMIT", 1000)
    assert "together" in problems(workshop.validate(path))[0]


def test_a_member_longer_than_it_says_is_refused(workshop: Any) -> None:
    """A bomb that lies about its size in the directory of the zip file."""
    path = workshop.build()
    with zipfile.ZipFile(path) as bundle:
        name = first(dict.fromkeys(bundle.namelist(), b""), "records/")
        size = bundle.getinfo(name).file_size
    data = path.read_bytes()
    directory = data.index(b"PK\x01\x02", data.rindex(b"PK\x03\x04"))
    entry = data.index(name.encode(), directory) - 46
    forged = data[: entry + 24] + (size // 2).to_bytes(4, "little") + data[entry + 28 :]
    path.write_bytes(forged)
    found = problems(workshop.validate(path))
    assert any(problem.startswith(f"{name}: damaged") or "changed afterwards" in problem for problem in found)


def test_pickles_are_never_read(workshop: Any, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    trap = npy(np.array([Trap()], dtype=object), allow_pickle=True)
    path = workshop.rezip(workshop.build(), replaced("samples/", trap))
    assert "holds pickled objects, which are never read" in the_only_problem(workshop.validate(path))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(workshop: Any, value: float) -> None:
    def poison(data: bytes) -> bytes:
        array = np.load(io.BytesIO(data), allow_pickle=False).copy()
        array[3, 0] = value
        return npy_bytes(array)

    path = workshop.rezip(workshop.build(), replaced("samples/", poison))
    assert "1 of 5,000 samples are not finite" in the_only_problem(workshop.validate(path))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (npy(np.zeros((1500, 3), dtype=np.float32)), r"wanted <f4 of \[1500, 2\]"),
        (npy(np.zeros((1500, 2))), r"holds <f8"),
        (npy(np.zeros((1500, 2), dtype=np.float32, order="F")), "wanted <f4"),
        (b"PK\x03\x04 no array", "not a readable npy file"),
        (b"", "not a readable npy file"),
        (npy(np.zeros((1500, 2), dtype=np.float32))[:-8], "do not fill shape"),
        (npy(np.zeros((1500, 2), dtype=np.float32)) + b"more", "do not fill shape"),
        (npy(np.zeros(1, dtype=np.float32)).replace(b"(1,)", b"(10**15,)"[:4]), "not a readable npy file"),
    ],
)
def test_arrays_that_are_not_what_was_committed_to_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(InvalidFile, match=problem):
        parse_npy(data, dtype="<f4", shape=(1500, 2))


def test_a_header_that_asks_for_a_petabyte_allocates_nothing() -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000, 2), }"
    header += b" " * (64 - (10 + len(header) + 1) % 64) + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(InvalidFile, match="do not fill shape"):
        parse_npy(data, dtype="<f4", shape=(10**15, 2))


def test_a_record_changed_after_packing_is_found(workshop: Any) -> None:
    path = workshop.rezip(workshop.build(), replaced("records/", lambda data: data.replace(b'"sound"', b'"other"')))
    assert "changed afterwards" in the_only_problem(workshop.validate(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"schema_version": 2', "not readable as JSON"),
        (b'{"schema_version": 99}', "schema_version 99"),
        (b'{"schema_version": 0}', "schema_version 0"),
        (b"[]", "not a dxbench record"),
        (b'{"schema_version": 2, "run_id": "x"}', "not a valid record"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[" * 2_000, "not readable as JSON"),
        (b"[" * 100_000, "expands from"),
        (
            json.dumps(np.random.default_rng(0).integers(10, size=170_000).tolist()).encode(),
            "values with what was read",
        ),
    ],
)
def test_records_that_are_none_are_named(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, text: bytes, problem: str
) -> None:
    def forge(members: Members) -> Members:
        name = first(members, "records/")
        manifest = members[MANIFEST].replace(sha256(members[name]).encode(), sha256(text).encode())
        return members | {name: text, MANIFEST: manifest}

    monkeypatch.setattr(archive, "NODE_LIMIT", 100_000)
    found = problems(workshop.validate(workshop.rezip(workshop.build(), forge)))
    assert any(problem in line for line in found), found


def test_a_record_of_an_older_schema_has_to_be_packed_anew(workshop: Any) -> None:
    def forge(members: Members) -> Members:
        name = first(members, "records/")
        record = json.loads(members[name]) | {"schema_version": 1}
        for field in ("card", "samples_sha256"):
            del record[field]
        text = json.dumps(record).encode()
        manifest = members[MANIFEST].replace(sha256(members[name]).encode(), sha256(text).encode())
        return members | {name: text, MANIFEST: manifest}

    report = workshop.validate(workshop.rezip(workshop.build(), forge))
    assert len(report.records) == 1
    assert any("not as dxbench writes records" in line for line in problems(report))


def test_a_record_with_nan_is_refused(workshop: Any) -> None:
    def forge(members: Members) -> Members:
        name = first(members, "records/")
        record = json.loads(members[name])
        record["scores"]["sw2_exact"]["value"] = float("nan")
        text = json.dumps(record).encode()
        manifest = members[MANIFEST].replace(sha256(members[name]).encode(), sha256(text).encode())
        return members | {name: text, MANIFEST: manifest}

    found = problems(workshop.validate(workshop.rezip(workshop.build(), forge)))
    assert any("not a valid record (scores.sw2_exact.value" in line for line in found), found


def test_a_run_named_twice_is_found(workshop: Any) -> None:
    path = workshop.build(
        manifest=lambda manifest: manifest.model_copy(update={"runs": [*manifest.runs, manifest.runs[0]]})
    )
    assert "is named 2 times" in the_only_problem(workshop.validate(path))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema_version": 0}, "schema_version 0, this dxbench reads manifests of 1; pack it again"),
        ({"schema_version": 2}, "schema_version 2, this dxbench reads manifests of 1; update dxbench"),
        ({"schema_version": "1"}, "schema_version '1'"),
        ({"surprise": 1}, "not a valid manifest (surprise"),
        ({"runs": []}, "not a valid manifest (runs"),
        ({"method": "../../evil"}, "not a valid manifest (method"),
        ({"method": ".."}, "not a valid manifest (method"),
        ({"config_id": "a/b"}, "not a valid manifest (config_id"),
    ],
)
def test_manifests_of_another_schema_or_shape_are_named(workshop: Any, change: dict[str, Any], problem: str) -> None:
    def forge(members: Members) -> Members:
        return members | {MANIFEST: json.dumps(json.loads(members[MANIFEST]) | change).encode()}

    assert problem in the_only_problem(workshop.validate(workshop.rezip(workshop.build(), forge)))


def test_a_manifest_in_another_spelling_could_choose_its_challenge_and_is_refused(workshop: Any) -> None:
    path = workshop.rezip(workshop.build(), lambda m: m | {MANIFEST: m[MANIFEST].replace(b":", b": ", 1)})
    assert "not written in the canonical form" in the_only_problem(workshop.validate(path))


def test_a_bundle_without_a_manifest_or_a_record_or_samples_says_which(workshop: Any) -> None:
    for folder in (MANIFEST, "records/", "samples/"):

        def drop(members: Members, folder: str = folder) -> Members:
            return {name: data for name, data in members.items() if name != first(members, folder)}

        path = workshop.rezip(workshop.build(), drop)
        found = problems(workshop.validate(path))
        assert found[0].startswith(folder)
        assert "not in the bundle" in found[0]


def test_a_record_whose_name_leaves_the_results_cannot_be_merged(dxbench: Callable[..., Ended], workshop: Any) -> None:
    records = workshop.changed(method="../../evil")
    ended = dxbench("merge", workshop.build(records=[*records[1:], records[0]]), "--results", workshop.folder / "known")
    assert ended.code == 5
    assert "method: '../../evil' in the record" in ended.out
    assert not list(workshop.folder.glob("**/*evil*"))


def test_every_bad_file_exits_5_without_a_traceback(dxbench: Callable[..., Ended], workshop: Any) -> None:
    path = workshop.build()
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        ended = dxbench("validate", path, "--results", workshop.folder / "known")
        assert ended.code == 5
        assert "DEFECT" in ended.out
        assert "Traceback" not in ended.err


def test_the_challenge_follows_from_the_manifest_and_spreads_over_the_run() -> None:
    blocks = chosen_blocks("a" * 64, "run-s0", total=1000, wanted=50)
    assert blocks == sorted(set(blocks))
    assert len(blocks) == 50
    assert blocks == chosen_blocks("a" * 64, "run-s0", total=1000, wanted=50)
    assert blocks != chosen_blocks("b" * 64, "run-s0", total=1000, wanted=50)
    assert blocks != chosen_blocks("a" * 64, "run-s1", total=1000, wanted=50)
    assert chosen_blocks("a" * 64, "run-s0", total=3, wanted=50) == [0, 1, 2]
    counts = np.zeros(40)
    for i in range(400):
        counts[chosen_blocks(sha256(str(i).encode()), "run", total=40, wanted=10)] += 1
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100 * 0.75)


def test_blocks_cover_every_sample_once() -> None:
    samples = np.arange(250, dtype=np.float32).reshape(125, 2)
    assert block_sizes(125) == [BLOCK, 25]
    hashes = block_hashes(samples)
    assert len(hashes) == 2
    changed = samples.copy()
    changed[124, 1] += 1
    assert block_hashes(changed)[0] == hashes[0]
    assert block_hashes(changed)[1] != hashes[1]


def test_manifests_are_read_back_as_they_were_written(workshop: Any) -> None:
    with zipfile.ZipFile(workshop.build()) as bundle:
        text = bundle.read(MANIFEST)
    assert parse_manifest(text).text() == text
