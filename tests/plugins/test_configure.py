"""From preset and overrides to a configuration."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import JsonValue

from dxbench.api import Compute, Problem
from dxbench.engine.parts import unmet_needs
from dxbench.errors import UsageError
from dxbench.plugins import registry
from dxbench.plugins.configure import configure, presets, recipes
from dxbench.plugins.registry import load_method, load_task, plugins
from dxbench.tasks.detection import PatchSet, PointSet


def test_a_nested_setting_leaves_its_neighbours_as_the_recipe_has_them():
    ddpm = load_method("ddpm")
    whole = configure(ddpm, load_task("digits"), "default", {}).model_dump()["backbone"]
    shorter = {"backbone": {"pretraining": {"iterations": 7}}}
    changed = configure(ddpm, load_task("digits"), "default", shorter).model_dump()["backbone"]
    assert changed == whole | {"pretraining": whole["pretraining"] | {"iterations": 7}}
    assert changed != whole


def test_a_part_of_another_kind_takes_the_place_of_the_recipes():
    """Settings of the kind before would be unknown ones of the new."""
    dxmi = load_method("dxmi")
    changes: dict[str, JsonValue] = {
        "sampler": {"kind": "strided"},
        "backbone": {"network": {"kind": "ddpm_mlp", "hidden": 16}},
    }
    config = configure(dxmi, load_task("gaussians8"), "default", changes).model_dump()
    assert config["sampler"]["kind"] == "strided"
    assert "std" not in config["sampler"]
    assert config["backbone"]["network"] == {"hidden": 16, "depth": 3, "kind": "ddpm_mlp", "levels": 1000}


def test_a_typo_in_a_nested_setting_is_refused_by_its_place():
    with pytest.raises(UsageError, match=r"ddpm: backbone.pretraining.iteratoins: "):
        configure(load_method("ddpm"), load_task("digits"), "default", {"backbone": {"pretraining": {"iteratoins": 7}}})


SHAPES = {"plane": (2,), "vectors": (5,), "small_images": (1, 8, 8), "images": (3, 32, 32), "patches": (6,)}


@pytest.mark.parametrize("family", SHAPES)
@pytest.mark.parametrize("name", sorted(plugins("methods")))
def test_a_new_task_has_a_default_and_a_quick_preset_of_every_method_that_runs_on_its_data(name, family):
    """Of a task that no recipe names."""
    method = load_method(name)
    new: Any = SimpleNamespace(name="new", family=family)
    points = torch.zeros((8, *SHAPES[family]))
    data = PatchSet(points=points, grid=(2, 2)) if family == "patches" else PointSet(points=points)
    problem = Problem(task="new", event_shape=SHAPES[family], data=data, data_std=1.0)
    compute = Compute(device="cpu", threads=1)
    config = configure(method, new, "default", {})
    if unmet_needs(method.needs | config.needs(), problem, compute):
        return
    assert not config.official_weights(), "a new task grants none"
    quick = configure(method, new, "quick", {})
    assert not unmet_needs(method.needs | quick.needs(), problem, compute)
    assert not quick.official_weights()
    assert getattr(quick, "iterations", 0) <= getattr(config, "iterations", 0)


class Task:
    name, family = "ring", "plane/ring"


def test_a_preset_is_looked_for_under_the_task_then_its_family_and_what_that_is_in(monkeypatch):
    class Found(load_method("ddpm")):  # type: ignore[misc]
        recipes = __name__

    task: Any = Task()
    everywhere = {"any": 1, "plane": 2, "plane/ring": 3, "ring": 4, "vectors": 9, "plane/other": 9}
    for count in range(1, 7):
        known = dict(list(everywhere.items())[:count])
        made = {(place, "quick"): partial(Found.Config, num_steps=steps) for place, steps in known.items()}
        monkeypatch.setitem(globals(), "RECIPES", made)
        assert presets(Found, task) == {"default": "", "quick": list(known)[min(count, 4) - 1]}
        assert configure(Found, task, "quick", {}).model_dump()["num_steps"] == min(count, 4)
    monkeypatch.setitem(globals(), "RECIPES", {("vectors", "quick"): Found.Config})
    with pytest.raises(UsageError, match=r"unknown preset of ddpm for ring 'quick'.*Known: default"):
        configure(Found, task, "quick", {})


def test_recipes_that_cannot_be_had_are_told_of(monkeypatch):
    class Lost(load_method("ddpm")):  # type: ignore[misc]
        recipes = "no.such.module"

    with pytest.raises(UsageError, match=r"the recipes of ddpm, 'no.such.module', fail to import: ModuleNotFound"):
        recipes(Lost)
    Lost.recipes = __name__
    monkeypatch.delitem(globals(), "RECIPES", raising=False)
    with pytest.raises(UsageError, match="where ddpm has its recipes, lacks RECIPES: a mapping from"):
        recipes(Lost)


def test_reference_rows_and_detectors_of_one_fit_are_quick_as_they_are():
    task: Any = SimpleNamespace(name="mvtec_pooled_vit", family="vectors/mvtec_pooled")
    for name in ("pca", "data", "knn"):
        assert configure(load_method(name), task, "quick", {}) == configure(load_method(name), task, "default", {})
    assert configure(load_method("knn"), task, "quick", {}).model_dump()["metric"] == "cosine"


def test_a_package_of_the_old_form_is_told_what_to_write(monkeypatch, dxbench):
    """Entry points that are read no more, of recipes and of metrics."""
    monkeypatch.setattr(registry, "_in_gone_groups", lambda: {("my-package", "recipes"): ["ae2", "ddpm"]})
    monkeypatch.setattr(load_method("ddpm"), "recipes", "")
    with pytest.raises(UsageError, match=r"my-package lists ae2, ddpm in .*`dxbench.recipes`.*say `recipes = "):
        load_method("ddpm")
    assert load_method("ect").name == "ect"
    monkeypatch.setattr(registry, "_in_gone_groups", lambda: {("my-package", "metrics"): ["mine"]})
    ended = dxbench("list", "tasks")
    assert ended.code == 0
    assert "my-package lists mine in the entry points `dxbench.metrics`, which are read no more" in ended.err
    assert "docs/adding-a-metric.md" in ended.err
