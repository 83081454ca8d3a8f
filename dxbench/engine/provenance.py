"""Origin of a number."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from dxbench import __version__
from dxbench.api import Provenance

_PACKAGES = ("torch", "numpy", "scipy", "POT", "scikit-learn", "safetensors", "pydantic")


def collect(*, resumed: int, command: str | None = None) -> Provenance:
    """Provenance of this process; `resumed` counts how often the run was picked up again.

    Args:
        command: what was typed; None for the command line of this process.
    """
    return Provenance(
        command=command_line() if command is None else command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        resumed=resumed,
        **_of_process(),
    )


def command_line() -> str:
    """The command that this process was started by, to copy."""
    return " ".join(["dxbench", *map(shlex.quote, sys.argv[1:])])


@cache
def _of_process() -> dict[str, Any]:
    """Facts that stay as they are for as long as the process lives, which has loaded its code."""
    sha, dirty = _git_state(Path(__file__).resolve().parent)
    return {
        "dxbench_version": __version__,
        "git_sha": sha,
        "git_dirty": dirty,
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit and whether tracked files differ from it; (None, None) outside a checkout of this project."""
    try:
        root = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--show-toplevel", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.split()
        if len(root) != 2 or Path(root[0]) != folder.parent.parent:
            return None, None
        status = subprocess.run(
            ["git", "-C", root[0], "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None, None
    return root[1], bool(status.strip())


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
