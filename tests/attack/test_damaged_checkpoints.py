"""Checkpoints and trained parts that were damaged or bent: each is refused as what it is, and none believed."""

import json
import math
import random
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Ended, method
from hostile import attack, bent, bent_json, damaged, json_bytes
from hypothesis import given
from hypothesis import strategies as st

from dxbench.engine import checkpoint
from dxbench.engine.checkpoint import load_checkpoint, save_checkpoint
from dxbench.engine.store import FolderStore
from dxbench.errors import InvalidFile

pytestmark = pytest.mark.attack

RUN = "0123456789-s0"
STATE = {
    "training": {
        "net": {"weight": torch.arange(12.0).reshape(3, 4), "bias": torch.ones(4, dtype=torch.float64)},
        "optimiser": {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.99)}]},
        "best": math.inf,
        "half": torch.ones(3, dtype=torch.bfloat16),
    },
    "rng": {"torch": {"noise": {"device": "cpu", "state": torch.arange(64, dtype=torch.uint8)}}, "numpy": {}},
    "curves": {"loss": [[1, 0.5], [2, 0.25]]},
    "step": 300,
    "train_seconds": 1.5,
    "name": "a text",
    "none": None,
}


def honest() -> bytes:
    """The bytes of a checkpoint, for strategies, which are built before any fixture."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        save_checkpoint(path, STATE, run_id=RUN)
        return path.read_bytes()


DATA = honest()
LENGTH = int.from_bytes(DATA[:8], "little")
HEADER: dict[str, Any] = json.loads(DATA[8 : 8 + LENGTH])
BODY = DATA[8 + LENGTH :]
STRUCTURE = json.loads(HEADER["__metadata__"]["structure"])


def with_header(header: bytes, body: bytes = BODY) -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def signed(header: dict[str, Any], body: bytes = BODY) -> bytes:
    """With the digest that the file would have, had it been written so: damage that no digest shows."""
    metadata = header["__metadata__"] | {"digest": checkpoint._UNSIGNED}
    text = json.dumps(header | {"__metadata__": metadata}, separators=(",", ":")).encode("utf-8", "surrogatepass")
    blank = with_header(text, b"")
    return checkpoint._with_digest(blank, checkpoint._UNSIGNED, checkpoint._digest(blank, memoryview(body))) + body


def refused(path: Path, data: bytes) -> bool:
    """Whether damage is told; a file that is whole after all needs no refusal."""
    path.write_bytes(data)
    try:
        load_checkpoint(path, run_id=RUN)
    except InvalidFile:
        return True
    return data == DATA


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bent") / "checkpoint.safetensors"


def test_every_flipped_bit_of_the_header_is_refused(place: Path) -> None:
    for at in range(8 + LENGTH):
        for bit in range(8):
            bad = bytearray(DATA)
            bad[at] ^= 1 << bit
            assert refused(place, bytes(bad))


def test_a_file_cut_at_any_byte_is_refused(place: Path) -> None:
    for length in range(len(DATA)):
        assert refused(place, DATA[:length])


def test_a_run_whose_checkpoint_is_cut_within_its_header_begins_anew(dxbench: Any, home: Path) -> None:
    run = ("run", "-t", f"{Path(__file__).with_name('quick.py')}:Quick", "-m", method("Toy"), "--no-report", "--json")
    whole = dxbench(*run).json[0]
    (path,) = home.rglob("checkpoint.safetensors")
    sound = path.read_bytes()
    header = 8 + int.from_bytes(sound[:8], "little")
    for number, length in enumerate([*range(10), header // 3, header // 2, header - 1, header, header + 1], start=1):
        path.write_bytes(sound[:length])
        ended: Ended = dxbench(*run, "--results", home / f"results-{length}")
        assert ended.code == 0, ended.err
        assert f"checkpoint.unusable-{number}.safetensors, beginning anew" in ended.err.replace("\n", " ")
        again = ended.json[0]
        assert all(again[key] == whole[key] for key in ("run_id", "scores", "curves", "samples_sha256"))
        assert path.with_name(f"checkpoint.unusable-{number}.safetensors").read_bytes() == sound[:length]


@attack(2000)
@given(data=damaged(DATA))
def test_damaged_bytes_are_refused(place: Path, data: bytes) -> None:
    assert refused(place, data)


@attack(1500)
@given(header=bent_json(HEADER))
def test_a_bent_header_of_the_right_length_is_refused(place: Path, header: bytes) -> None:
    assert refused(place, with_header(header))


@attack(500)
@given(structure=bent(STRUCTURE))
def test_a_bent_structure_is_refused(place: Path, structure: Any) -> None:
    metadata = HEADER["__metadata__"] | {"structure": json_bytes(structure).decode("utf-8", "replace")}
    assert refused(place, with_header(json.dumps(HEADER | {"__metadata__": metadata}).encode()))


@st.composite
def swapped(draw: st.DrawFn) -> dict[str, Any]:
    """A header whose tensors have changed names, types, shapes or places."""
    names = [name for name in HEADER if name != "__metadata__"]
    header = json.loads(json.dumps(HEADER))
    one, other = draw(st.sampled_from(names)), draw(st.sampled_from(names))
    match draw(st.sampled_from(["names", "type", "shape", "offsets", "remove", "double"])):
        case "names":
            header[one], header[other] = header[other], header[one]
        case "type":
            header[one]["dtype"] = draw(st.sampled_from(["F32", "F64", "I64", "U8", "BF16", "BOOL", "F8_E4M3", "X"]))
        case "shape":
            header[one]["shape"] = draw(st.lists(st.integers(0, 2**64), max_size=4))
        case "offsets":
            header[one]["data_offsets"] = draw(st.lists(st.integers(0, len(BODY) + 9), min_size=2, max_size=2))
        case "remove":
            del header[one]
        case _:
            header["state.more"] = header[one]
    return header


@attack(1000)
@given(header=swapped())
def test_tensors_swapped_renamed_or_retyped_are_refused(place: Path, header: dict[str, Any]) -> None:
    assert header == HEADER or refused(place, with_header(json.dumps(header, separators=(",", ":")).encode()))


def a_state_or_refused(path: Path, data: bytes) -> bool:
    path.write_bytes(data)
    try:
        return isinstance(load_checkpoint(path, run_id=RUN), dict)
    except InvalidFile:
        return True


@attack(1000)
@given(structure=bent(STRUCTURE))
def test_a_structure_that_was_signed_bent_gives_a_state_or_is_refused(place: Path, structure: Any) -> None:
    metadata = HEADER["__metadata__"] | {"structure": json_bytes(structure).decode("utf-8", "replace")}
    assert a_state_or_refused(place, signed(HEADER | {"__metadata__": metadata}))


@attack(1000)
@given(header=swapped())
def test_a_header_that_was_signed_bent_gives_a_state_or_is_refused(place: Path, header: dict[str, Any]) -> None:
    assert a_state_or_refused(place, signed(header))


@pytest.mark.parametrize("size", [1 << 20, 1 << 33, 1 << 42])
def test_a_file_of_any_length_is_refused_before_it_is_read(place: Path, size: int) -> None:
    place.write_bytes(DATA)
    with place.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(InvalidFile):
        load_checkpoint(place, run_id=RUN)
    place.unlink()
    place.write_bytes((90_000_000).to_bytes(8, "little"))
    with place.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(InvalidFile):
        load_checkpoint(place, run_id=RUN)
    place.unlink()


CONTENT = {"backbone": "MLP", "seed": 5}


@attack(500)
@given(fault=st.data())
def test_a_damaged_part_is_set_aside_said_and_trained_anew(tmp_path_factory: Any, fault: st.DataObject) -> None:
    said: list[str] = []
    store = FolderStore(tmp_path_factory.mktemp("parts"), warn=said.append)
    slot = store.slot(CONTENT)
    slot.save({"weight": torch.arange(3.0)})
    sound = slot.path.read_bytes()
    slot.path.write_bytes(fault.draw(damaged(sound)))
    if slot.path.read_bytes() == sound:
        return
    assert slot.load() is None
    assert len(said) == 1
    assert slot.path.with_name(f"{slot.key}.unusable-1.safetensors").exists()
    slot.save({"weight": torch.ones(2)})
    found = slot.load()
    assert found is not None
    assert torch.equal(found["weight"], torch.ones(2))
    assert len(said) == 1


@attack(300)
@given(state=bent({"part": {"weight": [1.0]}, "cost": {"seconds": 1.0, "flops": 2, "passes": 3}}))
def test_a_part_that_decodes_but_is_none_is_set_aside(tmp_path_factory: Any, state: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slot = FolderStore(tmp_path_factory.mktemp("parts")).slot(CONTENT)
        try:
            content = json.loads(json_bytes(state))
            save_checkpoint(slot.path, content, run_id=slot.key)
        except (ValueError, RecursionError, TypeError):
            return
        slot.load()
        slot.store.release()


@pytest.mark.parametrize("seed", range(20))
def test_a_run_with_a_state_that_does_not_fit_begins_anew_or_goes_on(seed: int, dxbench: Any, home: Path) -> None:
    """Signed states whose content is bent: whatever a method raises of it sets the checkpoint aside."""
    run = ("run", "-t", f"{Path(__file__).with_name('quick.py')}:Quick", "-m", method("Toy"), "--no-report", "--json")
    whole = dxbench(*run).json[0]
    (path,) = home.rglob("checkpoint.safetensors")
    state = load_checkpoint(path, run_id=whole["run_id"])
    rng = random.Random(seed)
    parent, key = _somewhere(state, rng)
    change = rng.choice(["remove", "none", "text", "list"])
    if change == "remove" and isinstance(parent, dict):
        del parent[key]
    else:
        parent[key] = {"none": None, "text": "x", "list": [], "remove": {}}[change]
    save_checkpoint(path, state, run_id=whole["run_id"])
    ended: Ended = dxbench(*run, "--results", home / "elsewhere")
    assert ended.code in (0, 2), ended.err
    assert "Traceback" not in ended.err
    if "beginning anew" in ended.err:
        again = ended.json[0]
        assert (again["scores"], again["curves"]) == (whole["scores"], whole["curves"])


def _somewhere(state: Any, rng: Any) -> tuple[Any, Any]:
    """A container of the state and one of its keys."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if not isinstance(value, tuple):
                places.append((value, key))
            if isinstance(item, dict | list | tuple) and len(item) < 100 and key != "training":
                walk(item)

    walk(state)
    return rng.choice(places)
