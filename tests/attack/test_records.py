"""Hostile files among the records: each is named and left out, and what is taken for a record breaks no board."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from itertools import count, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hostile import attack, bent_json, damaged, json_bytes
from hypothesis import given
from hypothesis import strategies as st

from dxbench.api import Estimate, ResultRecord
from dxbench.boards.check import check
from dxbench.boards.claims import claims
from dxbench.boards.compare import Selection, compare
from dxbench.boards.explain import made_differently
from dxbench.boards.gate_report import as_json as gate_as_json
from dxbench.boards.gate_report import junit, markdown, summary
from dxbench.boards.published import read_published
from dxbench.boards.render import render
from dxbench.boards.site.methods import method_text, on_task
from dxbench.boards.site.pictures import NoPictures
from dxbench.boards.site.runs import run_text
from dxbench.boards.site.tasks import task_files
from dxbench.boards.tables import result_beside_published, task_table
from dxbench.cli.explain import _waterfall
from dxbench.errors import InvalidFile, UsageError
from dxbench.plugins.suites import Suite, load_suite
from dxbench.records import index as index_module
from dxbench.records.entries import Entry
from dxbench.records.files import Unreadable, config_id_of, read_record, record_text, stored_text, write_record
from dxbench.records.index import RecordIndex, open_index

pytestmark = pytest.mark.attack

ROOT = Path(__file__).resolve().parents[2]
FORMATS: Sequence[Any] = ("text", "md", "csv", "latex", "latex-table", "html", "json")
LEAST, MOST = 5e-324, 1.7e308


@cache
def honest(place: str = "gaussians8/ddpm") -> dict[str, Any]:
    """A committed record with its curves cut short."""
    found = read_record(min((ROOT / "results" / place).glob("*.json")))
    assert isinstance(found, ResultRecord)
    record = found.model_dump(mode="json")
    for curve in record["curves"].values():
        curve["step"], curve["value"] = curve["step"][:5], curve["value"][:5]
    return record


@cache
def stored(place: str) -> dict[str, Any]:
    """The same as it lies among others."""
    record = json.loads(min((ROOT / "results" / place).glob("*.json")).read_bytes())
    del record["sha256"]
    return record


PLACES = st.sampled_from(["gaussians8/ddpm", "mvtec_pooled_vit/pca", "tabular_clean/knn"])
HONEST = st.one_of(PLACES.map(honest), PLACES.map(stored))


NOWHERE = "no/such/folder/run.json"


class Held:
    """Records of one folder that lie nowhere."""

    def __init__(self, records: Sequence[ResultRecord]) -> None:
        self.problems: Sequence[Unreadable] = ()
        self._entries = [Entry.of(record, NOWHERE) for record in records]

    @property
    def tasks(self) -> list[str]:
        """Their names."""
        return sorted({entry.task for entry in self._entries})

    def entries(self, task: str) -> list[Entry]:
        """Those of a task."""
        return [entry for entry in self._entries if entry.task == task]


@cache
def others() -> tuple[ResultRecord, ...]:
    """Further seeds of the honest records."""
    found = []
    for place in ("gaussians8/ddpm", "mvtec_pooled_vit/pca", "tabular_clean/knn"):
        found += [read_record(path) for path in sorted((ROOT / "results" / place).glob("*.json"))[1:4]]
    return tuple(record for record in found if isinstance(record, ResultRecord))


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} in JSON")


def strict_json(value: object) -> None:
    """As JSON, without NaN and infinities."""
    json.loads(value if isinstance(value, str) else json.dumps(value), parse_constant=no_constant)


def every_board(records: Sequence[ResultRecord], task: str) -> None:
    """All that boards make of records."""
    index = RecordIndex([Held(records)], [""])
    table = task_table(index, task, published=False)
    for format in FORMATS:
        render(table, format)
    strict_json(render(table, "json"))
    entries = index.entries(task)
    _, summary = task_files(table, task, about="", entries=entries, pictures=NoPictures())
    rows = {(row.config_id, row.origin) for row in table.rows}
    shown = [entry for entry in entries if (entry.config_id, entry.origin) in rows]
    for method, found in on_task(summary, shown).items():
        method_text(method, records[0].card, [found])
    for record in records:
        run_text(record, [], origin="")
    every_comparison(index, records)


def every_comparison(index: RecordIndex, records: Sequence[ResultRecord]) -> None:
    """Rows against each other, runs against each other, and all against the honest ones."""
    gate = check(RecordIndex([Held(others())], [""]), index, alpha=0.05, rel_tol=1e-6)
    summary(gate, 120), markdown(gate), junit(gate)
    strict_json(gate_as_json(gate))
    made_differently(records[0], records[-1])
    entries = [entry for task in index.tasks for entry in index.entries(task)]
    halves = [Selection(label=str(n), by_seed={e.seed: e for e in entries[n::2]}) for n in range(2)]
    if all(half.by_seed for half in halves):
        strict_json([asdict(one) for one in compare_all(*halves)])


def compare_all(a: Selection, b: Selection) -> list[Any]:
    """Comparisons of the metrics that both measured by one protocol; others would ask the disk."""
    prints = {e.scores[n].fingerprint for s in (a, b) for e in s.by_seed.values() for n in e.scores}
    names = [e.scores[n].fingerprint for s in (a, b) for e in s.by_seed.values() for n in e.scores]
    return compare(a, b) if len(prints) == len(set(names)) == 1 else []


@pytest.fixture(autouse=True)
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that lie nowhere have records without curves and protocols."""
    real = Entry.record

    def record(entry: Entry) -> ResultRecord:
        return others()[0] if entry.path == NOWHERE else real(entry)

    monkeypatch.setattr(Entry, "record", record)


counter = count()


def written(folder: Path, data: bytes) -> Path:
    """A file of its own."""
    path = folder / f"{next(counter)}.json"
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For files that are read once, with what they name beside them."""
    made = tmp_path_factory.mktemp("records")
    for kind in ("protocols", "cards"):
        shutil.copytree(ROOT / "results" / kind, made / kind)
    return made


def faults(path: Path) -> list[str]:
    """What is wrong with a file as a record: it breaks no board, or it is none, for a reason that can be read."""
    started = time.perf_counter()
    found = read_record(path)
    took = time.perf_counter() - started
    path.unlink()
    wrong = [] if took < 10 else [f"reading took {took:.0f} s"]
    if isinstance(found, Unreadable):
        return wrong + ([] if 0 < len(found.reason) <= 301 else [f"a reason of {len(found.reason)} characters"])
    if found.run_id != f"{config_id_of(found)}-s{found.seed}":
        wrong.append(f"{found.run_id} is another run's id")
    wrong += [name for name, protocol in found.protocols.items() if protocol.fingerprint != name]
    every_board([found, *others()], found.task)
    return wrong


@attack(2500)
@given(st.data())
def test_bent_records(folder: Path, data: st.DataObject) -> None:
    assert faults(written(folder, data.draw(HONEST.flatmap(bent_json)))) == []


@attack(2500)
@given(st.data())
def test_damaged_records(folder: Path, data: st.DataObject) -> None:
    sound = json_bytes(data.draw(HONEST))
    assert faults(written(folder, data.draw(damaged(sound)))) == []


@attack(2500)
@given(st.data())
def test_whatever_happens_to_a_file_with_its_digest_is_noticed(folder: Path, data: st.DataObject) -> None:
    record = data.draw(st.sampled_from(others()))
    text = data.draw(st.sampled_from([record_text, stored_text]))
    bent = data.draw(damaged(text(record).encode()))
    found = read_record(written(folder, bent))
    assert isinstance(found, Unreadable) or found == record


@attack(500)
@given(st.data())
def test_old_records_bent(folder: Path, data: st.DataObject) -> None:
    """They take another way: as Python values into today's schema."""
    old = {k: v for k, v in honest().items() if k not in ("card", "selected_on_test", "samples_sha256")}
    assert faults(written(folder, data.draw(bent_json(old | {"schema_version": 1})))) == []


# --- numbers of runs that diverged ---------------------------------------------------------------------------

ANY_SIZE = st.one_of(
    st.floats(-MOST, MOST),
    st.sampled_from([LEAST, -LEAST, MOST, -MOST, 1e308, 1e155, -1e155, 1e-155, 1e-320, 0.0, 1.0]),
    st.floats(0.1, 1.0),
)


@st.composite
def diverged(draw: st.DrawFn) -> list[ResultRecord]:
    """Some rows of some seeds with numbers of any size, and costs likewise."""
    first = others()[0]
    assert first.cost is not None
    better = draw(st.sampled_from(["lower", "higher", "none"]))
    made = []
    for row in range(draw(st.integers(1, 4))):
        for seed in range(draw(st.integers(1, 5))):
            value, seconds, nfe = draw(ANY_SIZE), abs(draw(ANY_SIZE)), abs(draw(ANY_SIZE))
            estimate = Estimate(value=value, better=better, fingerprint="f" * 16)
            flops = draw(st.sampled_from([0, 1, 2**63, 2**70, 10**30]))
            changes: dict[str, Any] = {
                "config": {"row": row},
                "overrides": {"row": row},
                "seed": seed,
                "nfe": nfe,
                "scores": {"sw2": estimate},
                "curves": {"loss": {"step": [1, 2, 3], "value": [value, -value, seconds]}},
                "cost": first.cost.model_copy(
                    update={"train_seconds": seconds, "eval_seconds": seconds, "sampling_flops": flops}
                ),
            }
            record = ResultRecord.model_validate(first.model_dump() | changes)
            made.append(record.model_copy(update={"run_id": f"{config_id_of(record)}-s{seed}"}))
    return made


@attack(1200)
@given(diverged())
def test_numbers_of_any_size(records: list[ResultRecord]) -> None:
    every_board(records, records[0].task)
    half = RecordIndex([Held(records[::2])], [""])
    gate = check(half, RecordIndex([Held(records)], [""]), alpha=0.05, rel_tol=1e-6)
    strict_json(gate_as_json(gate))
    summary(gate, 120), markdown(gate), junit(gate)


@attack(1000)
@given(st.lists(ANY_SIZE, min_size=2, max_size=5))
def test_waterfalls_of_any_size(levels: list[float]) -> None:
    from dxbench.boards.explain import Explanation, Step

    steps = tuple(Step(name="x", before=a, after=b) for a, b in pairwise(levels))
    found = Explanation(metric="m", better="lower", a=levels[0], b=levels[-1], pairs=1, fields={}, steps=steps)
    assert list(_waterfall(found))
    strict_json(asdict(found) | {"gap": found.gap})


# --- published numbers and suites ----------------------------------------------------------------------------


@cache
def published_rows() -> dict[str, Any]:
    """A few rows of the largest file of published numbers."""
    file = json.loads((ROOT / "results/published/dxmi.json").read_bytes())
    return file | {"rows": [row for row in file["rows"] if row.get("match")][:4]}


@attack(2000)
@given(bent_json(published_rows()))
def test_bent_published_numbers(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("published")
    (folder / "x.json").write_bytes(data)
    try:
        found = read_published(folder)
    except InvalidFile:
        return
    index = RecordIndex([Held(others())], [""])
    claims(index, found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dxbench.boards.tables.published_folder", lambda: folder)
        for format in FORMATS:
            assert render(task_table(index, "gaussians8", published=True), format)
        assert result_beside_published(index, index.entries("gaussians8"))


SUITES = [path.read_bytes() for path in sorted((ROOT / "baselines/dxbench_baselines/suites").glob("*.toml"))]
TOKENS = st.sampled_from(
    [b"nan", b"-inf", b"1e999", b"9" * 5000, b"-1", b"[" * 5000, b"{a=" * 5000, b"\xff", b'"\\ud800"', b"1979-05-27"]
)


@st.composite
def suite_files(draw: st.DrawFn) -> bytes:
    """Suites with bytes damaged, and values replaced."""
    data = draw(st.sampled_from(SUITES))
    lines = data.split(b"\n")
    at = draw(st.integers(0, len(lines) - 1))
    key, equals, _ = lines[at].partition(b"=")
    if equals and draw(st.booleans()):
        lines[at] = key + equals + draw(TOKENS)
        data = b"\n".join(lines)
    return draw(damaged(data)) if draw(st.booleans()) else data


@attack(2500)
@given(suite_files())
def test_damaged_suites(folder: Path, data: bytes) -> None:
    path = folder / "suite.toml"
    path.write_bytes(data)
    with suppress(UsageError):
        assert isinstance(load_suite(str(path)), Suite)


# --- the index -----------------------------------------------------------------------------------------------


def made_up(count: int) -> Iterator[ResultRecord]:
    """Seeds of one configuration."""
    first = others()[0]
    for seed in range(count):
        yield first.model_copy(update={"seed": seed, "run_id": f"{config_id_of(first)}-s{seed}", "curves": {}})


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of records and the cache with its index."""
    results, cache = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("cache")
    for record in made_up(5):
        write_record(results, record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "INDEXED_FROM", 1)
        patch.setenv("DXBENCH_CACHE", str(cache))
        open_index([results])
    return results, cache


@attack(400)
@given(st.data())
def test_damaged_indexes(indexed: tuple[Path, Path], data: st.DataObject) -> None:
    results, cache = indexed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "INDEXED_FROM", 1)
        patch.setenv("DXBENCH_CACHE", str(cache))
        (path,) = (cache / "records").iterdir()
        path.write_bytes(data.draw(st.one_of(damaged(path.read_bytes()), bent_json(json.loads(b"[[1, 2], {}]")))))
        index = open_index([results])
        assert not index.problems
        assert [entry.seed for entry in index.entries("gaussians8")] == [0, 1, 2, 3, 4]


# --- odd files -----------------------------------------------------------------------------------------------


def a_socket(path: Path) -> None:
    """Left behind by its process; its name may be longer than an address."""
    place = path.with_name("s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(place))
    place.rename(path)


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": a_socket,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "pipe through a link": lambda path: (os.mkfifo(path.with_name("p")), path.symlink_to("p")),
    "input": lambda path: path.symlink_to("/dev/stdin"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "loop": lambda path: path.symlink_to(path.name),
    "folder": lambda path: path.mkdir(),
    "sparse": lambda path: (path.touch(), os.truncate(path, 2**40)),
    "empty": lambda path: path.touch(),
    "lists": lambda path: path.write_bytes(b"[" + b"[]," * 1_300_000 + b"[]]"),
    "deep": lambda path: path.write_bytes(b"[" * 4_000_000),
    "digits": lambda path: path.write_bytes(b"1" * 4_000_000),
    "closed": lambda path: (path.write_bytes(b"{}"), path.chmod(0)),
}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A results folder of three honest records and every odd thing."""
    results = tmp_path / "odd"
    for record in made_up(3):
        path = write_record(results, record)
    for name, make in ODD.items():
        make(path.with_name(f"{name}.json"))
    (results / "gaussians8" / "loop").symlink_to("loop")
    (results / "gaussians8" / "file").write_text("")
    (results / "elsewhere").symlink_to(results)
    (results / "nowhere").symlink_to("gone")
    (results / "gaussians8" / "a\nb\x1b[31m").mkdir()
    (results / "gaussians8" / "a\nb\x1b[31m" / "x.json").write_text("{}")
    (path.parent / os.fsdecode(b"\xff.json")).write_text("{}")
    return results


COMMANDS = (
    ("table", "-t", "gaussians8"),
    ("compare", "ddpm[num_steps=10]", "ddpm[num_steps=10]", "-t", "gaussians8"),
    ("leaderboard", "build"),
    ("claims",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_odd_files_stop_no_command(odd: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    more = ["--out", str(tmp_path / "site")] if command[0] == "leaderboard" else []
    ended = subprocess.run(
        [sys.executable, "-m", "dxbench", *command, *more, "--results", str(odd)],
        capture_output=True,
        timeout=60,
        stdin=subprocess.PIPE,
        check=False,
    )
    assert b"Traceback" not in ended.stderr
    assert ended.returncode == 5, ended.stderr
    named = ended.stderr.decode(errors="replace")
    root = os.geteuid() == 0  # who may read a closed file; it holds no record either
    assert not [name for name in ODD if f"/{name}.json: " not in named], named
    assert root or "Permission denied" in named
    assert ended.stdout


def test_files_that_come_and_go_while_they_are_read(tmp_path: Path) -> None:
    records = list(made_up(40))
    context = get_context("spawn")
    stop = context.Event()
    worker = context.Process(target=come_and_go, args=(tmp_path, [record_text(one) for one in records], stop))
    worker.start()
    try:
        for _ in range(150):
            for entry in open_index([tmp_path]).entries("gaussians8"):
                assert entry.task == "gaussians8"
    finally:
        stop.set()
        worker.join()
    assert worker.exitcode == 0


def come_and_go(results: Path, texts: Sequence[str], stop: Any) -> None:
    """Writes files and removes them again."""
    place = results / "gaussians8" / "ddpm"
    place.mkdir(parents=True)
    for n in count():
        if stop.is_set():
            return
        path = place / f"{json.loads(texts[n % len(texts)])['run_id']}.json"
        path.unlink() if path.exists() else path.write_text(texts[n % len(texts)])


# --- many writers --------------------------------------------------------------------------------------------

WRITERS, EACH = 10, 1000


def write_many(results: Path, worker: int) -> None:
    """As many runs of a configuration of its own, each written twice."""
    first = others()[0].model_copy(update={"curves": {}, "config": {"worker": worker}})
    name = config_id_of(first)
    for seed in range(EACH):
        write_record(results, first.model_copy(update={"seed": seed, "run_id": f"{name}-s{seed}"}))


def test_ten_writers_lose_none_of_ten_thousand_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path / "cache"))
    results = tmp_path / "results"
    context = get_context("spawn")
    workers = [context.Process(target=write_many, args=(results, worker)) for worker in range(WRITERS)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        assert not open_index([results]).problems
        time.sleep(1)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * WRITERS
    index = open_index([results])
    assert not index.problems
    found = {(entry.config["worker"], entry.seed) for entry in index.entries("gaussians8")}
    assert found == {(worker, seed) for worker in range(WRITERS) for seed in range(EACH)}
    assert not list((results / "gaussians8" / "ddpm").glob(".*"))
