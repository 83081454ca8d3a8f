"""The task of docs/adding-a-task.md, a small one, and small methods."""

import re
from pathlib import Path

from conftest import METHODS

from dxbench.api import Method, Task
from dxbench.plugins.registry import load_file

ROOT = Path(__file__).resolve().parents[2]


def write_ring(folder: Path) -> str:
    """The page's task in a file; its reference."""
    page = (ROOT / "docs" / "adding-a-task.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    (folder / "ring.py").write_text(code[1])
    return f"{folder / 'ring.py'}:Ring"


def ring_class(folder: Path) -> type[Task]:
    return load_file(write_ring(folder))


def method_class(name: str) -> type[Method]:
    return load_file(f"{METHODS}:{name}")
