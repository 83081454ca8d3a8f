"""Samples and samplers from outside on record: a block of their own in tables, and nothing that is not so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended
from tiny_task import NUM_SAMPLES, draw, keep, measured

import dxbench as package
from dxbench.api import ResultRecord
from dxbench.boards.tables import OUTSIDE
from dxbench.engine import provenance
from dxbench.errors import InvalidFile, UsageError
from dxbench.records.files import read_record, work_folder
from dxbench.records.index import open_index

pytest_plugins = ("workshop",)

SAMPLERS = """
import torch
from torch import nn
from dxbench.api import Model

net = nn.Linear(2, 2).train()
OTHER = 3


def sample(seeds, radius=2.0):
    angle = seeds * 2.399963
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def twice(seeds):
    assert not net.training
    return net(net(sample(seeds)))


def wide(seeds):
    return sample(seeds).repeat(1, 2)


def lost(seeds):
    return sample(seeds) / 0


def away(seeds):
    return sample(seeds) * 1e30


def fails(seeds):
    return sample(seeds) + 1 / (len(seeds) - len(seeds))


COUNTED = Model(networks=(net,), sampler=twice)
"""


@pytest.fixture
def files(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with samples of three seeds and a file of samplers, scored by code that is committed."""
    committed = provenance.collect(resumed=0).model_copy(update={"git_sha": None, "git_dirty": None})
    monkeypatch.setattr(
        provenance, "_of_process", lambda: committed.model_dump(exclude={"command", "created", "resumed"})
    )
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        np.savez(tmp_path / f"{seed}.npz", samples=draw(10 + seed, std=1.1))
    (tmp_path / "mine.py").write_text(SAMPLERS)
    return tmp_path


def saved(dxbench: Callable[..., Ended], *arguments: object, name: str = "Mine") -> ResultRecord:
    """The record that a command writes."""
    ended = dxbench("eval", *arguments, "--task", "tiny", "--name", name, "--save", "--json")
    assert ended.code == 0, ended.err
    found = read_record(ended.json["saved"])
    assert isinstance(found, ResultRecord), found
    assert (found.run_id, found.external) == (ended.json["run_id"], ended.json["passes"])
    return found


def refused(dxbench: Callable[..., Ended], home: Path, *arguments: object) -> Ended:
    """How a command ends that writes nothing."""
    before = sorted(home.rglob("*.json"))
    ended = dxbench("eval", *arguments, "--save")
    assert ended.code != 0
    assert "Traceback" not in ended.err
    assert sorted(home.rglob("*.json")) == before
    return ended


def test_samples_with_a_name_become_a_row_that_ranks_apart(
    dxbench: Callable[..., Ended], files: Path, home: Path
) -> None:
    for seed in range(3):
        keep(measured(seed, draw(seed)), draw(seed), home)
        wide = draw(20 + seed, std=1.3)
        keep(measured(seed, wide, config={"num_steps": 4, "lr": 0.1}, overrides={"lr": 0.1}), wide, home)
    alone = dxbench("table", "-t", "tiny", "-f", "json", "--results", home / "results").json["blocks"]
    for seed in range(3):
        record = saved(dxbench, f"{seed}.npz", "--nfe", 4, "--seed", seed)
        assert (record.nfe, record.external, record.cost, record.seed) == (4.0, "claimed", None, seed)
        assert "--nfe 4" in record.provenance.command
        assert "energy_rank" in record.notes
        kept = work_folder(home, task="tiny", method="Mine", run_id=record.run_id) / "arrays.npz"
        assert np.array_equal(np.load(kept)["samples"], draw(10 + seed, std=1.1))
    assert saved(dxbench, "2.npz", "--nfe", 10).overrides == {"nfe": 10}

    blocks = dxbench("table", "-t", "tiny", "-f", "json", "--results", home / "results").json["blocks"]
    assert blocks[: len(alone)] == alone, "rows from outside moved the ranks of others"
    assert [row["places"] for row in (one["scores"]["sw2_exact"] for one in alone[0]["rows"])] == [[1, 1], [2, 2]]
    (outside,) = blocks[len(alone) :]
    assert outside["differing"] == [OUTSIDE]
    rows = {row["selector"]: row for row in outside["rows"]}
    assert set(rows) == {"Mine[nfe=4]", "Mine[nfe=10]"}
    assert {row["kind"] for row in rows.values()} == {"external"}
    assert rows["Mine[nfe=4]"]["scores"]["sw2_exact"]["places"] == [1, 1]
    assert rows["Mine[nfe=10]"]["marks"] == ["one seed"]
    assert "from outside; passes are claimed" in rows["Mine[nfe=4]"]["remarks"]
    text = dxbench("table", "-t", "tiny", "--results", home / "results").out
    assert "* Mine[nfe=4]" in text
    assert OUTSIDE in " ".join(text.split())

    for other, verdict in (("sound", "worse"), ("sound[lr=0.1]", "better")):
        told = package.compare("Mine[nfe=4]", other, "tiny", results=home / "results")
        assert told.loc["sw2_exact", "verdict"] == verdict
        assert told.attrs["a"] == "Mine[nfe=4], from outside, passes claimed"
    runs = package.load_records("tiny")
    assert sorted(runs[runs.external == "claimed"].nfe) == [4.0, 4.0, 4.0, 10.0]
    with pytest.raises(UsageError, match="which come without a model"):
        package.load_model(record)


def test_the_site_shows_them_under_a_heading_of_their_own(
    dxbench: Callable[..., Ended], files: Path, home: Path
) -> None:
    keep(measured(0, draw(0)), draw(0), home)
    for seed in range(2):
        saved(dxbench, f"{seed}.npz", "--nfe", 4, "--seed", seed)
    built = dxbench("leaderboard", "build", "--results", home / "results", "--out", "site")
    assert built.code == 0, built.err
    page = (files / "site" / "tasks" / "tiny.html").read_text()
    assert page.index("sound") < page.index("<h2>From outside</h2>") < page.index('class="external"')
    assert "from outside, passes claimed</span>" in page
    assert "from outside, passes claimed</span>" in next((files / "site" / "methods").glob("[Mm]ine*.html")).read_text()
    (run,) = (path.read_text() for path in (files / "site").rglob("*-s1.html"))
    assert "dxbench eval 1.npz --nfe 4 --seed 1 --task tiny --name Mine --save --json" in run
    index = (files / "site" / "index.html").read_text()
    assert "No row ranks yet" in index, "a row from outside is none of the best rows"


def test_the_same_samples_again_replace_their_record_and_others_do_not(
    dxbench: Callable[..., Ended], files: Path, home: Path
) -> None:
    first = saved(dxbench, "0.npz", "--nfe", 4)
    assert saved(dxbench, "0.npz", "--nfe", 4).scores == first.scores
    rest = ("--task", "tiny", "--name", "Mine", "--nfe", 4)
    assert "has other samples of seed 0 in" in refused(dxbench, home, "1.npz", *rest).err
    assert "these are the samples of seed 0 of Mine" in refused(dxbench, home, "0.npz", *rest, "--seed", 1).err
    known = np.load("0.npz")["samples"]
    for number, samples in enumerate((known[::-1], np.concatenate([known[:-9], draw(5)[:9]]))):
        np.savez(files / f"like-{number}.npz", samples=samples)
        assert "samples of seed 0 of Mine" in refused(dxbench, home, f"like-{number}.npz", *rest, "--seed", 1).err
    assert len(open_index([home / "results"]).entries("tiny")) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ddpm", "is the name of the method 'ddpm'; choose another name"),
        ("DxMI", "is the name of the method 'dxmi'"),
        ("Sound", "is the name of the row 'sound' of tiny"),
        ("a/b", "wants a word of letters"),
        ("x[nfe=4]", "wants a word of letters"),
        ("../up", "wants a word of letters"),
        ("", "wants a word of letters"),
    ],
)
def test_a_name_that_is_taken_or_none_is_refused(
    dxbench: Callable[..., Ended], files: Path, home: Path, name: str, words: str
) -> None:
    keep(measured(0, draw(0)), draw(0), home)
    ended = refused(dxbench, home, "0.npz", "--task", "tiny", "--name", name, "--nfe", 4)
    assert (ended.code, words in ended.err) == (2, True), ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["0.npz", "--task", "tiny", "--name", "Mine"], 2, "give --nfe N, the number of network passes"),
        (["0.npz", "--task", "tiny", "--name", "Mine", "--nfe", "0.5"], 2, "--nfe 0.5 is no number of passes"),
        (["0.npz", "--task", "tiny", "--name", "Mine", "--nfe", "nan"], 2, "--nfe nan is no number of passes"),
        (["0.npz", "--task", "tiny", "--name", "Mine", "--nfe", "4", "--seed", "-1"], 2, "seeds count from 0"),
        (["0.npz", "--task", "tiny", "--nfe", "4"], 2, "need --name NAME"),
        (["0.npz", "--task", "tiny"], 2, "need --name NAME"),
        (["0.npz", "--name", "Mine", "--nfe", "4"], 2, "give --task"),
        (["0.npz", "--task", "tinny", "--name", "Mine", "--nfe", "4"], 2, "Did you mean 'tiny'?"),
        (
            ["0.npz", "--against", "1.npz", "--protocol", "points", "--name", "Mine"],
            2,
            "--name, --save goes with --task",
        ),
        (
            ["0.npz", "--task", "tiny", "--name", "Mine", "--nfe", "4", "--set", "a=1"],
            2,
            "these are samples or a model; leave it out",
        ),
        (["none.npz", "--task", "tiny", "--name", "Mine", "--nfe", "4"], 7, "none.npz"),
        (["wide.npz", "--task", "tiny", "--name", "Mine", "--nfe", "4"], 5, "wide.npz"),
        (["few.npz", "--task", "tiny", "--name", "Mine", "--nfe", "4"], 6, "needs 5,000 samples, got 100"),
        (["nan.npz", "--task", "tiny", "--name", "Mine", "--nfe", "4"], 5, "nan.npz"),
        (["huge.npz", "--task", "tiny", "--name", "Mine", "--nfe", "4"], 5, "huge.npz"),
        (
            ["mine.py:COUNTED", "--task", "tiny", "--name", "Mine", "--nfe", "4"],
            5,
            "2 passes per sample were counted",
        ),
        (["mine.py:sample", "--task", "tiny", "--name", "Mine"], 2, "give --nfe N"),
        (["mine.py", "--task", "tiny", "--name", "Mine", "--nfe", "4"], 2, "write the name of its sampler behind it, "),
        (["mine.py:COUNTET", "--task", "tiny", "--name", "Mine"], 2, "Did you mean 'COUNTED'?"),
        (["mine.py:sampel", "--task", "tiny", "--name", "Mine"], 2, "Did you mean 'sample'?"),
        (["mine.py:OTHER", "--task", "tiny", "--name", "Mine"], 2, "wanted a function of int64 seeds"),
        (["mine.py:Model", "--task", "tiny", "--name", "Mine"], 2, "is a class, wanted a function"),
        (
            ["mine.py:wide", "--task", "tiny", "--name", "Mine", "--nfe", "4"],
            5,
            "draws (1000, 4), wanted a tensor (1000, 2)",
        ),
        (
            ["mine.py:lost", "--task", "tiny", "--name", "Mine", "--nfe", "4"],
            5,
            "1,000 of 1,000 samples are not finite",
        ),
        (
            ["mine.py:sample", "--task", "tiny", "--name", "M", "--nfe", "4", "--set", "size=1"],
            2,
            "mine.py:sample fails: TypeError",
        ),
        (
            ["mine.py:away", "--task", "tiny", "--name", "Mine", "--nfe", "4"],
            5,
            "mine.py:away: coordinates of 1,000 of 1,000 samples are beyond 10,000 standard deviations of the data",
        ),
        (
            ["mine.py:fails", "--task", "tiny", "--name", "Mine", "--nfe", "4"],
            2,
            "mine.py:fails fails: ZeroDivisionError: division by zero (mine.py, line ",
        ),
        (["syntax.py:f", "--task", "tiny", "--name", "Mine", "--nfe", "4"], 2, "(syntax.py, line 1): def f(:"),
        (["mine.py:sample", "--task", "tiny", "--name", "M", "--set", "nfe=4"], 2, "give that argument"),
    ],
)
def test_what_cannot_be_a_record_is_refused_in_a_sentence(
    dxbench: Callable[..., Ended], files: Path, home: Path, arguments: list[str], code: int, words: str
) -> None:
    bad = {"wide": np.zeros((NUM_SAMPLES, 3)), "few": draw(0)[:100], "nan": draw(0), "huge": draw(0).astype(float)}
    bad["nan"][17, 1] = np.nan
    bad["huge"][0, 0] = 1e200
    for name, array in bad.items():
        np.savez(files / f"{name}.npz", samples=array)
    (files / "syntax.py").write_text("def f(:\n")
    ended = refused(dxbench, home, *arguments)
    assert (ended.code, words in ended.err) == (code, True), ended.err


def test_a_sampler_of_a_file_is_drawn_from_and_its_networks_are_counted(
    dxbench: Callable[..., Ended], files: Path
) -> None:
    claimed = saved(dxbench, "mine.py:sample", "--nfe", 1, name="Circle")
    other = saved(dxbench, "mine.py:sample", "--nfe", 1, "--seed", 1, name="Circle")
    assert (claimed.nfe, claimed.external, claimed.overrides) == (1.0, "claimed", {"nfe": 1})
    assert claimed.samples_sha256 != other.samples_sha256, "each seed draws other samples"
    counted = saved(dxbench, "mine.py:COUNTED", name="Twice")
    assert (counted.nfe, counted.external, counted.overrides) == (2.0, "counted", {"nfe": 2})
    wider = saved(dxbench, "mine.py:sample", "--nfe", 1, "--set", "radius=2.8", name="Circle")
    assert wider.overrides == {"nfe": 1, "radius": 2.8}
    assert wider.scores["sw2_exact"].value != claimed.scores["sw2_exact"].value
    unnamed = dxbench("eval", "mine.py:sample", "--task", "tiny", "--json")
    assert unnamed.code == 0
    assert unnamed.json["scores"].keys() == claimed.scores.keys()


def test_python_puts_the_same_on_record(dxbench: Callable[..., Ended], files: Path, home: Path) -> None:
    typed = saved(dxbench, "0.npz", "--nfe", 4)
    scores = package.add_result(draw(10, std=1.1), "tiny", name="Mine", nfe=4)
    assert dict(scores) == {name: one.value for name, one in typed.scores.items()}
    scores = package.add_result("mine.py:COUNTED", "tiny", name="Twice", seed=3)
    assert scores.nfe == 2.0
    found = {entry.method: entry.record() for entry in open_index([home / "results"]).entries("tiny")}
    assert found["Twice"].provenance.command == (
        "dxbench.add_result('mine.py:COUNTED', 'tiny', name='Twice', nfe=None, seed=3)"
    )
    with pytest.raises(InvalidFile, match="2 passes per sample were counted"):
        package.add_result("mine.py:COUNTED", "tiny", name="Twice", nfe=1)


def test_the_gate_and_the_migration_pass_over_them(dxbench: Callable[..., Ended], files: Path, home: Path) -> None:
    for seed in range(2):
        keep(measured(seed, draw(seed)), draw(seed), home)
    base = files / "base"
    (home / "results").rename(base)
    for seed in range(2):
        keep(measured(seed, draw(seed)), draw(seed), home)
    record: Any = saved(dxbench, "0.npz", "--nfe", 4)
    checked = dxbench("check", "--baseline", base, "--results", home / "results", "--json")
    assert "Mine" not in checked.out, checked.out
    migrated = dxbench("records", "migrate", home / "results")
    assert "Mine" not in migrated.out + migrated.err
    assert read_record(next((home / "results").rglob(f"{record.run_id}.json"))) == record
