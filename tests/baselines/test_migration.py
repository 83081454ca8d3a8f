"""Configurations as earlier versions recorded them: today's form, and the same one that today's recipes give."""

import json
from pathlib import Path
from typing import Any

import pytest

from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task

# Of recipes on images, of which no record is committed, as the version before this form wrote them.
BEFORE: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("old_configs.json").read_text())


# Of the committed records of the methods whose configurations have changed their form, as they were before.
RECORDED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("old_committed.json").read_text())


def test_every_committed_configuration_is_that_of_its_preset_today() -> None:
    for old in RECORDED:
        method, task = load_method(old["method"]), load_task(old["task"])
        today = configure(method, task, old["preset"], old["overrides"]).model_dump(mode="json")
        moved = method.migrate_config(old["config"])
        assert moved == today, old
        assert method.migrate_config(moved) == moved, old
    assert len(RECORDED) > 50


@pytest.mark.parametrize("cell", BEFORE)
def test_a_recipe_on_images_as_it_was_recorded_is_the_recipe_of_today(cell: str) -> None:
    name, task, preset = cell.split("|")
    method = load_method(name)
    moved = method.migrate_config(BEFORE[cell])
    assert moved == configure(method, load_task(task), preset, {}).model_dump(mode="json")
    assert method.migrate_config(moved) == moved


def test_what_was_trained_where_official_weights_were_named_stays_so() -> None:
    before = BEFORE["dxmi|cifar10|default"]
    assert load_method("dxmi").migrate_config(before)["init"] == "official"
    assert load_method("dxmi").migrate_config({**before, "init": "train"})["init"] == "train"
