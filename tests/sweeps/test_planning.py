"""From what is typed to cells, and from cells to a file and back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import METHODS, method

from dxbench.engine.plan import Cell
from dxbench.errors import InvalidFile, UsageError
from dxbench.sweeps.planning import Block, plan_blocks, read_blocks
from dxbench.sweeps.sweep import Sweep, chosen, find_plan, read_plan

QUICK = {"preset": "quick"}


def runs(cells: tuple[Cell, ...]) -> list[Cell]:
    return [cell for cell in cells if cell.part == "run"]


def test_tasks_times_rows_times_settings_times_seeds() -> None:
    plan = plan_blocks([Block(task="gaussians8,digits", method="ddim,dxmi[tau=0.01|0.1]", seed="0-2", **QUICK)])
    assert len(runs(plan.cells)) == 2 * 3 * 3
    assert {(cell.task, cell.method, cell.seed) for cell in plan.cells} >= {
        (task, name, seed) for task in ("gaussians8", "digits") for name in ("ddim", "dxmi") for seed in range(3)
    }
    assert plan.notes == ()


def test_an_override_reaches_the_rows_whose_method_has_its_key() -> None:
    plan = plan_blocks([Block(task="gaussians8", method="dxmi,ddim", set=["tau=0.5|0.25"], **QUICK)])
    assert [(cell.method, cell.overrides) for cell in runs(plan.cells)] == [
        ("dxmi", {"tau": 0.5}),
        ("ddim", {}),
        ("dxmi", {"tau": 0.25}),
    ]


def test_a_method_that_lacks_the_preset_is_left_out_with_a_note() -> None:
    plan = plan_blocks([Block(task="gaussians8", method=f"ddim,{method('Toy')}", **QUICK)])
    assert [cell.method for cell in runs(plan.cells)] == ["ddim"]
    assert plan.notes == ("toy has no preset 'quick' for gaussians8: left out",)


def test_a_start_that_several_cells_share_is_a_cell_of_its_own_before_them() -> None:
    plan = plan_blocks([Block(task="digits", method="ddim,ddpm", seed="0,1", **QUICK)])
    starts, after = plan.cells[:2], plan.cells[2:]
    assert [cell.part for cell in starts] == ["start", "start"]
    assert {cell.seed: cell.needs for cell in after} == {cell.seed: cell.run_id for cell in starts}
    assert len(after) == 4
    assert all(cell.needs for cell in after)
    alone = plan_blocks([Block(task="digits", method="ddim", seed="0,1", **QUICK)])
    assert [(cell.part, cell.needs) for cell in alone.cells] == [("run", "")] * 2


def test_starts_in_another_precision_are_others() -> None:
    plan = plan_blocks([Block(task="digits", method="ddim,ddpm[precision=bf16]", **QUICK)])
    assert [cell.part for cell in plan.cells] == ["run", "run"]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (Block(task="gaussians8"), "give --task and --method"),
        (Block(task="gaussians8", method="dxmi,ddim", set=["tua=1"]), "unknown key of any of the methods 'tua'"),
        (Block(task="gaussians8", method="dxmi,ddim", preset="quik"), "Did you mean 'quick'"),
        (Block(task="gaussians8,gausians8", method="dxmi"), "Did you mean 'gaussians8'"),
        (Block(task="gaussians8", method="dxmi[tau=1],ddim", set=["tau=2"]), "tau is set twice"),
        (Block(task="gaussians8", method="dxmi[tau=0.1|-1]"), "tau: Input should be greater than or equal to 0"),
        (Block(suite="dxmi-table1", method="dxmi"), "leave out --task"),
        (Block(task="gaussians8", method="dxmi", seed="0-x"), "--seed takes numbers"),
    ],
)
def test_a_sweep_that_cannot_be_planned_in_whole_says_why(block: Block, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan_blocks([block])


def test_a_sweep_file_is_blocks(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[[sweep]]\ntask = "gaussians8"\nmethod = "dxmi[tau=0.1|1]"\nseed = "0-1"\npreset = "quick"\n'
        '[[sweep]]\nsuite = "dxmi-table1"\nseed = "3"\n'
    )
    plan = plan_blocks(read_blocks(file))
    typed = plan_blocks([Block(task="gaussians8", method="dxmi[tau=0.1|1]", seed="0-1", **QUICK)])
    assert {cell.run_id for cell in runs(typed.cells)} < {cell.run_id for cell in runs(plan.cells)}
    assert {cell.seed for cell in plan.cells} == {0, 1, 3}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[sweep]]\ntsak = 'x'\n", "tsak"),
        ("sweep = 1\n", "sweep"),
        ("[[sweep]\n", "not valid"),
        ("\0", "not valid"),
    ],
)
def test_a_sweep_file_that_is_none_says_why(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_blocks(file)
    with pytest.raises(UsageError, match="no sweep file"):
        read_blocks(tmp_path / "none.toml")


def test_the_same_cells_are_the_same_sweep_in_whatever_order(tmp_path: Path) -> None:
    one = plan_blocks([Block(task="gaussians8", method="ddim,dxmi", **QUICK)])
    other = plan_blocks([Block(task="gaussians8", method="dxmi,ddim", **QUICK)])
    more = plan_blocks([Block(task="gaussians8", method="dxmi,ddim", seed="1", **QUICK)])
    ids = [Sweep.planned(tmp_path, plan.cells).id for plan in (one, other, more)]
    assert ids[0] == ids[1] != ids[2]


def test_a_plan_is_read_back_as_it_was_planned(tmp_path: Path) -> None:
    plan = plan_blocks([Block(task="digits", method=f"ddim,ddpm,{METHODS}:Toy", seed="0-1", preset=None)])
    sweep = Sweep.planned(tmp_path, plan.cells)
    sweep.write()
    again = [cell.again() for cell in read_plan(sweep.file)]
    assert [(c.run_id, c.part, c.needs, c.config) for c in again] == [
        (c.run_id, c.part, c.needs, c.config) for c in plan.cells
    ]
    assert [cell.run_id for cell in read_plan(sweep.file, "1:3,0")] == [
        plan.cells[number].run_id for number in (1, 2, 0)
    ]
    assert find_plan(tmp_path, sweep.id[:4]) == sweep.file


def test_a_cell_that_has_become_another_is_refused(tmp_path: Path) -> None:
    plan = plan_blocks([Block(task="gaussians8", method="ddim", **QUICK)])
    sweep = Sweep.planned(tmp_path, tuple(replace(cell, task_version=99) for cell in plan.cells))
    sweep.write()
    with pytest.raises(UsageError, match="has changed since it was planned"):
        read_plan(sweep.file)[0].again()


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('{"layout": 7}\n', UsageError, "of layout 7, this dxbench reads 1; remove"),
        ("", InvalidFile, "no plan of a sweep"),
        ("{}\n", InvalidFile, "no plan of a sweep"),
        ('{"layout": 1}\n{"run_id": "../../x"}\n', InvalidFile, "no plan of a sweep"),
        ('{"layout": 1}\n\0\n', InvalidFile, "no plan of a sweep"),
    ],
)
def test_a_file_that_is_no_plan_says_why(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    file = tmp_path / "cells.jsonl"
    file.write_text(text)
    with pytest.raises(error, match=words):
        read_plan(file)


def test_a_folder_of_another_layout_is_not_written_into(tmp_path: Path) -> None:
    sweep = Sweep.planned(tmp_path, plan_blocks([Block(task="gaussians8", method="ddim", **QUICK)]).cells)
    sweep.write()
    head, *lines = sweep.file.read_text().splitlines()
    sweep.file.write_text("\n".join([json.dumps(json.loads(head) | {"layout": 0}), *lines]))
    with pytest.raises(UsageError, match="of layout 0"):
        sweep.write()


@pytest.mark.parametrize("which", ["5", "0:11", "a", "-1", "3:3", "1:2:3", ""])
def test_a_choice_beyond_the_plan_says_why(which: str) -> None:
    with pytest.raises(UsageError, match="cells"):
        chosen(range(5), which)


def test_rows_of_a_suite_have_their_own_seeds_where_they_say_so(tmp_path: Path) -> None:
    suite = tmp_path / "own.toml"
    suite.write_text(
        'name = "own"\ntitle = "Own"\ntask = "digits"\nseeds = [0, 1, 2]\n'
        '[[rows]]\nlabel = "many"\nmethod = "ddim"\npreset = "quick"\n'
        '[[rows]]\nlabel = "one"\nmethod = "data"\nseeds = [7]\n'
    )
    seeds = {
        name: [cell.seed for cell in runs(plan_blocks([Block(suite=str(suite))]).cells) if cell.method == name]
        for name in ("ddim", "data")
    }
    assert seeds == {"ddim": [0, 1, 2], "data": [7]}
    asked = runs(plan_blocks([Block(suite=str(suite), seed="4")]).cells)
    assert [(cell.method, cell.seed) for cell in asked] == [("ddim", 4), ("data", 4)]
