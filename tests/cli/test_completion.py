"""Completion as a shell asks for it: by environment variables, in a process of its own, which stays small."""

import os
import subprocess
import sys

import pytest

PROGRAM = (
    "import sys, atexit\n"
    "atexit.register(lambda: print('loaded', *{'torch', 'numpy', 'pandas', 'scipy'} & set(sys.modules)))\n"
    "sys.argv = ['dxbench']\n"
    "from dxbench.cli import main\n"
    "main()\n"
)


def completed(line: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    words = line.split(" ")
    asked = {"_DXBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    *offered, loaded = ended.stdout.splitlines()
    assert ended.stderr == ""
    assert loaded == "loaded"  # none of the heavy packages
    return [word for word in offered if word]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dxbench run --task gau", ["gaussians8"]),
        ("dxbench run -t gaussians8,dig", ["gaussians8,digits"]),
        ("dxbench run --method dxm", ["dxmi", "dxmi_detection"]),
        ("dxbench table --suite dxmi-table", ["dxmi-table1", "dxmi-table2", "dxmi-table3", "dxmi-table4"]),
        ("dxbench run -m ddpm --preset q", ["quick"]),
        ("dxbench run -m no_such_method --preset ", ["default", "quick"]),
        ("dxbench run --precision b", ["bf16"]),
        ("dxbench list me", ["methods", "metrics"]),
        ("dxbench info scre", ["screw", "screw_lite2"]),
        ("dxbench push board.git --task gau", ["gaussians8"]),
        ("dxbench pull board.git --method dxm", ["dxmi", "dxmi_detection"]),
        ("dxbench run --task no_such_task", []),
    ],
)
def test_the_shell_is_offered_the_names_that_begin_so(line: str, words: list[str]) -> None:
    assert completed(line) == words


def test_every_preset_that_recipes_spell_out_is_offered() -> None:
    from dxbench.plugins.configure import recipes
    from dxbench.plugins.registry import load_method

    offered = completed("dxbench run -m dxmi --preset ")
    assert set(offered) == {preset for _, preset in recipes(load_method("dxmi"))} | {"default", "quick"}
