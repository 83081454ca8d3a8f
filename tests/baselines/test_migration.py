"""Configurations as earlier versions recorded them: today's form, and the same one that today's recipes give."""

import json
from pathlib import Path
from typing import Any

import pytest

from dxbench.paths import reference_results
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task

# Of recipes on images, of which no record is committed, as the version before this form wrote them.
BEFORE: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("old_configs.json").read_text())


def committed() -> list[tuple[Path, dict[str, Any]]]:
    """Records by file; those of other forms than a run are left out."""
    found = [(path, json.loads(path.read_text())) for path in sorted(reference_results().rglob("*.json"))]
    return [(path, record) for path, record in found if "method_version" in record]


def test_every_committed_configuration_is_that_of_its_preset_today() -> None:
    checked = 0
    for path, record in committed():
        method, task = load_method(record["method"]), load_task(record["task"])
        today = configure(method, task.name, record["preset"], record["overrides"])
        moved = method.migrate_config(record["config"])
        assert type(today).model_validate(moved) == today, path.name
        assert moved == today.model_dump(mode="json"), path.name
        assert method.migrate_config(moved) == moved, path.name
        checked += 1
    assert checked > 500


@pytest.mark.parametrize("cell", BEFORE)
def test_a_recipe_on_images_as_it_was_recorded_is_the_recipe_of_today(cell: str) -> None:
    name, task, preset = cell.split("|")
    method = load_method(name)
    moved = method.migrate_config(BEFORE[cell])
    assert moved == configure(method, task, preset, {}).model_dump(mode="json")
    assert method.migrate_config(moved) == moved


def test_what_was_trained_where_official_weights_were_named_stays_so() -> None:
    before = BEFORE["dxmi|cifar10|default"]
    assert load_method("dxmi").migrate_config(before)["init"] == "official"
    assert load_method("dxmi").migrate_config({**before, "init": "train"})["init"] == "train"
