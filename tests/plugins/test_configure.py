"""From preset and overrides to a configuration."""

import pytest

from dxbench.errors import UsageError
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method


def test_a_nested_setting_leaves_its_neighbours_as_the_recipe_has_them():
    ddpm = load_method("ddpm")
    whole = configure(ddpm, "digits", "default", {}).model_dump()["backbone"]
    changed = configure(ddpm, "digits", "default", {"backbone": {"iterations": 7}}).model_dump()["backbone"]
    assert changed == whole | {"iterations": 7}
    assert changed != whole


def test_a_typo_in_a_nested_setting_is_refused_by_its_place():
    with pytest.raises(UsageError, match=r"ddpm: backbone.iteratoins: "):
        configure(load_method("ddpm"), "digits", "default", {"backbone": {"iteratoins": 7}})
