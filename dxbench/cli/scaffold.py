"""`dxbench new method` and `dxbench new task`."""

from pathlib import Path

from dxbench.cli.common import say
from dxbench.errors import ExitCode
from dxbench.scaffold.package import Kind, new_package

RUNS = {
    "method": "dxbench run --task gaussians8 --method {name}",
    "task": "dxbench run --task {name} --method dxmi --preset quick",
}


def new_command(kind: Kind, name: str, folder: Path | None, *, as_json: bool) -> int:
    """Write the package and say what to type next."""
    place = folder or Path(name)
    written = new_package(kind, name, place)
    if as_json:
        say({"name": name, "folder": str(place), "files": [str(path) for path in written]})
        return int(ExitCode.OK)
    for path in written:
        print(path)
    print(f"\nnext:\n  pip install -e {place}\n  dxbench check-{kind} {name}")
    print(f"  {RUNS[kind].format(name=name)}\n  pytest {place}")
    return int(ExitCode.OK)
