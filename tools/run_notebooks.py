"""Executes notebooks from top to bottom: `python tools/run_notebooks.py [--out FOLDER] NOTEBOOK...`.

With a folder, what they show is written there; the notebooks themselves stay without outputs.
"""

import argparse
import sys
import time
from pathlib import Path

from dxbench.errors import DxbenchError, RunFailed, UsageError

SECONDS = 1200
"""Limit of a cell, on a machine that does other work too."""


def execute(notebook: Path, out: Path | None) -> None:
    """Run every cell.

    Raises:
        UsageError: without the packages that notebooks are executed by.
        RunFailed: if a cell ends with an error, with the cell and the error.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed, which executes notebooks: pip install 'dxmi-bench[docs]'"
        ) from None
    content = nbformat.read(notebook, as_version=4)
    try:
        NotebookClient(content, timeout=SECONDS, kernel_name="python3").execute()
    except CellExecutionError as error:
        raise RunFailed(f"{notebook}: {error}") from None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        nbformat.write(content, out / notebook.name)


def main() -> int:
    """Execute the notebooks of the command line; the exit code is that of the error, if any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    for notebook in options.notebooks:
        begun = time.monotonic()
        try:
            execute(notebook, options.out)
        except DxbenchError as error:
            print(error, file=sys.stderr)
            return int(error.exit_code)
        print(f"{notebook.name}: {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
