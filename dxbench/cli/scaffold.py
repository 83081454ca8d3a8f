"""`dxbench new method`."""

from pathlib import Path

from dxbench.cli.common import say
from dxbench.errors import ExitCode
from dxbench.scaffold.method import new_method


def new_method_command(name: str, folder: Path | None, *, as_json: bool) -> int:
    """Write the package and say what to type next."""
    place = folder or Path(name)
    written = new_method(name, place)
    if as_json:
        say({"name": name, "folder": str(place), "files": [str(path) for path in written]})
        return int(ExitCode.OK)
    for path in written:
        print(path)
    print(f"\nnext:\n  pip install -e {place}\n  dxbench check-method {name}")
    print(f"  dxbench run --task gaussians8 --method {name}\n  pytest {place}")
    return int(ExitCode.OK)
