"""Bundles bent by the thousand, their hashes set right as a forger would: none lies, stops or kills the validator."""

import copy
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended
from hostile import HOSTILE, attack, bent, bent_json, damaged, json_bytes
from hypothesis import given
from hypothesis import strategies as st
from tiny_task import draw, measured

from dxbench.api import ResultRecord
from dxbench.plain import is_plain
from dxbench.records.files import record_text
from dxbench.submissions.archive import npy_bytes
from dxbench.submissions.manifest import MANIFEST, record_member, samples_member, sha256
from dxbench.submissions.merge import taken_in
from dxbench.submissions.pack import make_manifest, write_bundle
from dxbench.submissions.validate import Report, validate

pytestmark = pytest.mark.attack
pytest_plugins = ("workshop",)

Members = dict[str, bytes]
SAMPLES = {seed: draw(seed) for seed in (0, 1)}
RECORDS = [measured(seed, samples) for seed, samples in SAMPLES.items()]
FIRST = RECORDS[0].run_id
FREE = {"energy_rank"}
"""What samples do not give, and what is believed for that reason."""


def _sound() -> Members:
    buffer = io.BytesIO()
    arrays = {record.run_id: SAMPLES[record.seed] for record in RECORDS}
    write_bundle(buffer, make_manifest(RECORDS, arrays), RECORDS, arrays, wanted=None)
    with zipfile.ZipFile(buffer) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


SOUND = _sound()
MANIFEST_JSON = json.loads(SOUND[MANIFEST])
RECORD_JSON = {key: value for key, value in json.loads(SOUND[record_member(FIRST)]).items() if key != "sha256"}


def _zipped(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _validated(path: Path) -> Report:
    report = validate(path, results=path.parent / "known", progress=lambda text: None)
    for defect in report.defects:
        assert defect.problem
        assert defect.remedy
    return report


def _signed(text: bytes) -> bytes:
    """A record's JSON with the digest that its file ends with."""
    content = text.rstrip().removesuffix(b"}")
    return content + f',"sha256":"{sha256(content)}"}}\n'.encode()


def _committed(members: Members, text: bytes) -> Members:
    """The bundle with another record of seed 0, its hash set right."""
    old = SOUND[record_member(FIRST)]
    manifest = members[MANIFEST].replace(sha256(old).encode(), sha256(text).encode())
    return members | {record_member(FIRST): text, MANIFEST: manifest}


def _lies(report: Report) -> list[str]:
    """Where a valid bundle's first record says what its samples do not give, whatever was bent."""
    if not report.valid:
        return []
    (record,) = [record for record in report.records if record.seed == 0]
    found = [
        name for name in ("run_id", "config", "nfe", "status") if getattr(record, name) != getattr(RECORDS[0], name)
    ]
    for name in RECORDS[0].scores.keys() - FREE:
        got, true = record.scores[name], RECORDS[0].scores[name]
        same = (got.n, got.unit, got.better, got.fingerprint) == (true.n, true.unit, true.better, true.fingerprint)
        if not same or abs(got.value - true.value) > 1e-3 * max(abs(true.value), 0.1):
            found.append(name)
    kept = [text for one in taken_in(report, "0" * 64) for text in _texts(one.model_dump(mode="json"))]
    return found + [text for text in kept if not is_plain(text.replace("\n", ""))]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in inner for text in _texts(item)]


@pytest.fixture
def place(tiny: None, tmp_path: Path) -> Path:
    return tmp_path / "bundle.zip"


def test_the_sound_bundle_is_valid_and_a_record_signed_again_is_the_same(place: Path) -> None:
    assert _signed(json_bytes(RECORD_JSON)) == SOUND[record_member(FIRST)]
    report = _validated(_zipped(place, SOUND))
    assert report.valid, report.defects
    assert _lies(report) == []


def test_records_bent_and_committed_to(place: Path) -> None:
    @attack(1000)
    @given(bent_json(RECORD_JSON))
    def strike(text: bytes) -> None:
        report = _validated(_zipped(place, _committed(SOUND, _signed(text))))
        assert _lies(report) == []

    strike()


def test_records_bent_and_written_as_dxbench_writes_them(place: Path) -> None:
    """Bent records that can be read, in the form of the suite, so that only what they say can refuse them."""
    believed = 0

    @attack(1000)
    @given(bent(RECORD_JSON, most=1))
    def strike(value: Any) -> None:
        nonlocal believed
        try:
            record = ResultRecord.model_validate_json(json_bytes(value))
            text = record_text(record).encode()
        except ValueError:
            return
        report = _validated(_zipped(place, _committed(SOUND, text)))
        believed += report.valid
        assert _lies(report) == []

    strike()
    assert believed  # seconds, memory and the like are on trust


def test_scores_and_evaluations_replaced_by_hostile_numbers(place: Path) -> None:
    names = sorted(RECORDS[0].scores.keys() - FREE)

    @attack(400)
    @given(st.sampled_from(names), st.sampled_from(["value", "std", "n", "unit", "better", "parts"]), HOSTILE)
    def strike(name: str, field: str, value: Any) -> None:
        record = copy.deepcopy(RECORD_JSON)
        record["scores"][name][field] = value
        report = _validated(_zipped(place, _committed(SOUND, _signed(json_bytes(record)))))
        assert _lies(report) == []

    strike()


def test_manifests_bent(place: Path) -> None:
    @attack(2000)
    @given(bent_json(MANIFEST_JSON))
    def strike(text: bytes) -> None:
        report = _validated(_zipped(place, SOUND | {MANIFEST: text}))
        assert not report.valid or text == SOUND[MANIFEST]

    strike()


def test_samples_damaged(place: Path) -> None:
    member = samples_member(FIRST)

    @attack(300)
    @given(damaged(SOUND[member]))
    def strike(data: bytes) -> None:
        report = _validated(_zipped(place, SOUND | {member: data}))
        assert not report.valid or data == SOUND[member]

    strike()


def test_bytes_of_the_zip_file_damaged(place: Path) -> None:
    whole = _zipped(place, SOUND).read_bytes()

    @attack(2500)
    @given(damaged(whole))
    def strike(data: bytes) -> None:
        place.write_bytes(data)
        report = _validated(place)
        assert _lies(report) == []  # of a zip file some fields are unused

    strike()


def test_samples_made_to_suit_a_claim(place: Path) -> None:
    """A forger who changes the samples too has to have the numbers that they give."""

    @attack(80)
    @given(st.floats(0.5, 2.0), st.floats(-1.0, 1.0), st.integers(0, 10**6))
    def strike(scale: float, shift: float, seed: int) -> None:
        samples = (scale * draw(seed) + shift).astype(np.float32)
        true = measured(0, samples)
        lie = true.model_copy(update={"scores": RECORDS[0].scores})
        arrays = {lie.run_id: samples, RECORDS[1].run_id: SAMPLES[1]}
        with place.open("wb") as file:
            write_bundle(file, make_manifest([lie, RECORDS[1]], arrays), [lie, RECORDS[1]], arrays, wanted=None)
        report = _validated(place)
        honest = all(
            abs(true.scores[name].value - lie.scores[name].value) <= 1e-3 * max(abs(true.scores[name].value), 0.1)
            for name in lie.scores.keys() - FREE
        )
        assert report.valid == honest

    strike()


def _bombs() -> dict[str, Callable[[], Members]]:
    array = npy_bytes(np.zeros((1, 2), np.float32))
    return {
        "records of brackets": lambda: (
            SOUND | {f"records/r{n}.json": b"[" + b"[]," * 300_000 + b"[]]" for n in range(40)}
        ),
        "a record of a gigabyte": lambda: SOUND | {"records/bomb.json": bytes(1 << 30)},
        "a manifest of a gigabyte": lambda: SOUND | {MANIFEST: b" " * (1 << 30)},
        "samples of a gigabyte": lambda: SOUND | {samples_member(FIRST): array + bytes(1 << 30)},
        "digits that hardly compress": lambda: (
            SOUND
            | {record_member(FIRST): json.dumps(np.random.default_rng(0).integers(10, size=300_000).tolist()).encode()}
        ),
        "two hundred thousand members": lambda: {f"records/{n}.json": b"" for n in range(60_000)},
    }


@pytest.mark.parametrize("kind", _bombs())
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in _bombs()[kind]().items():
            archive.writestr(name, data)
    code = (
        "import resource, subprocess, sys\n"
        "command = [sys.executable, '-m', 'dxbench', 'validate', sys.argv[1]]\n"
        "ended = subprocess.run(command, capture_output=True, text=True)\n"
        "print(ended.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, ended.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
    status, mebibytes, *error = ended.stdout.split()
    assert (status, error) == ("5", [])
    assert int(mebibytes) < 300


def test_the_command_says_one_thing_per_line_whatever_a_bundle_says(dxbench: Callable[..., Ended], place: Path) -> None:
    @attack(150)
    @given(bent_json(RECORD_JSON))
    def strike(text: bytes) -> None:
        _zipped(place, _committed(SOUND, text))
        ended = dxbench("validate", place, "--results", place.parent / "known")
        assert ended.code in (0, 5)
        assert is_plain(ended.out.replace("\n", "")), ended.out
        assert "Traceback" not in ended.err

    strike()
