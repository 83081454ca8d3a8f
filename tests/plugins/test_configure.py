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
from dxbench.plugins.configure import assignments, configure, parse_assignments, presets, recipes
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


def test_a_dot_leads_into_nested_settings():
    typed = ["backbone.pretraining.iterations=7", "num_steps=3", "backbone.pretraining.lr=0.1"]
    overrides = parse_assignments(typed)
    assert overrides == {"backbone": {"pretraining": {"iterations": 7, "lr": 0.1}}, "num_steps": 3}
    assert parse_assignments(assignments(overrides)) == overrides
    assert sorted(assignments(overrides)) == sorted(typed)
    config = configure(load_method("ddpm"), load_task("digits"), "default", overrides).model_dump()
    assert (config["backbone"]["pretraining"]["lr"], config["num_steps"]) == (0.1, 3)


def test_a_key_may_come_before_the_kind_that_has_it():
    typed = ["sampler.last_std=0.2", "sampler.kind=strided"]
    made = configure(load_method("dxmi"), load_task("gaussians8"), "default", parse_assignments(typed)).model_dump()
    assert (made["sampler"]["kind"], made["sampler"]["last_std"]) == ("strided", 0.2)


@pytest.mark.parametrize("typed", [["a.b=1", "a.b=2"], ["a.b=1", "a=2"], ["a=1", "a.b=2"], ['a={"b": 1}', "a.b=2"]])
def test_a_nested_key_is_set_once(typed):
    with pytest.raises(UsageError, match=r"--set a(\.b)? is given twice"):
        parse_assignments(typed)


@pytest.mark.parametrize("key", ["a.b", '"a"', '"', "0.0", "."])
def test_a_key_with_a_dot_of_its_own_is_written_in_quotes(key):
    overrides: dict[str, JsonValue] = {key: 1, "other": {"inner": 2}, "odd": {"a.b": 3}}
    assert parse_assignments(assignments(overrides)) == overrides


@pytest.mark.parametrize("typed", ["a..b=1", ".a=1", "a.=1", "=1"])
def test_a_key_has_no_empty_part(typed):
    with pytest.raises(UsageError, match="--set takes key=value"):
        parse_assignments([typed])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("iterations=abc", "dxmi: iterations: Input should be a valid integer, got 'abc'"),
        ("iterations=1.5", "dxmi: iterations: Input should be a valid integer, got 1.5"),
        ("iterations=true", "dxmi: iterations: Input should be a number, got true"),
        ("sampler.std=false", "dxmi: sampler.std: Input should be greater than 0, got False"),
        ("sampler.std=true", "dxmi: sampler.std: Input should be a number, got true"),
        ("betas=[1]", "dxmi: betas.1: It is missing"),
        ("sampler=residual", "dxmi: sampler: Input should be keys with values, got 'residual'"),
        ("sampler.kind=nope", "dxmi: sampler: Its kind should be one of 'residual', 'strided'"),
        ("sampler.std=-1", "dxmi: sampler.std: Input should be greater than 0, got -1"),
        ("sampler.stdd=1", "dxmi: sampler.stdd: unknown key 'stdd'. Did you mean 'std'? Known: fix_last, kind"),
    ],
)
def test_a_refusal_names_the_key_as_typed_in_a_users_words(typed, said):
    with pytest.raises(UsageError) as refused:
        configure(load_method("dxmi"), load_task("gaussians8"), "default", parse_assignments([typed]))
    assert str(refused.value).startswith(said)


def test_a_rule_between_settings_is_told_without_the_validators_name():
    with pytest.raises(UsageError, match=r"^edm: configuration: sigma_min=5 has to be below sigma_max=2$"):
        configure(load_method("edm"), load_task("gaussians8"), "default", {"sigma_min": 5, "sigma_max": 2})


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
