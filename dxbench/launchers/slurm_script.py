"""The script that the SLURM launcher submits: a template, and what goes into it."""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from dxbench.errors import UsageError
from dxbench.launchers.contract import Launch
from dxbench.sweeps.chunks import LEAST_SECONDS

KEY = re.compile(r"[a-z][a-z-]+")
VALUE = re.compile(r"[A-Za-z0-9_.,:;/@%+=*&|!~^()\[\]-]*")
"""What #SBATCH takes without quotes. No white space, quote, backslash or # can end or widen it."""
OURS = {
    "array": "chunks of cells are packed by expected time, --slurm chunk=MINUTES says how much a task takes at least",
    "chdir": "jobs work where the command was given",
    "dependency": "cells wait for the starts that they need",
    "error": "logs are in the folder of the sweep",
    "job-name": "by it the sweep's jobs are found again",
    "ntasks": "it follows from --devices and --nodes",
    "output": "logs are in the folder of the sweep",
    "parsable": "the output of sbatch is read",
    "test-only": "--dry-run asks SLURM whether it would take the job",
    "wait": "the launcher waits, unless --detach is given",
    "wrap": "the script is dxbench's own",
}
"""Options that are the launcher's to set, and why."""


def job_name(sweep_id: str) -> str:
    """The name of all jobs of a sweep."""
    return f"dxbench-{sweep_id}"


def chunk_seconds(own: Mapping[str, str]) -> float:
    """Expected seconds from which on a chunk is full, `--slurm chunk=MINUTES`.

    Raises:
        UsageError: unless that is a number.
    """
    text = own.get("chunk", str(LEAST_SECONDS / 60))
    if not re.fullmatch(r"\d+(\.\d*)?", text):
        raise UsageError(
            f"--slurm chunk={text}: minutes are wanted that an array task takes at least, such as chunk=30"
        )
    return 60 * float(text)


def sbatch_options(launch: Launch) -> list[str]:
    """Options of sbatch as they stand in the script: what was typed over what is usual.

    Raises:
        UsageError: for what sbatch cannot be told so, is dxbench's to say, or contradicts --devices or --nodes.
    """
    own = {key: value for key, value in launch.settings.own.get("slurm", {}).items() if key != "chunk"}
    devices, nodes = launch.options.spread.devices, launch.settings.nodes
    for key, value in own.items():
        _check(key, value)
    _check_size(own, "nodes", nodes, "--nodes")
    _check_size(own, "ntasks-per-node", devices, "--devices")
    if launch.options.device != "cpu":
        for key in ("gres", "gpus-per-node"):
            _check_gpus(own, key, devices)
        _check_size(own, "gpus", devices * nodes, "--devices times --nodes")
    # A batch shell that is to get the signal is python itself; of several processes srun tells each.
    usual = {"nodes": str(nodes), "ntasks-per-node": str(devices), "open-mode": "append", "requeue": ""}
    usual["signal"] = "TERM@60" if several(launch) else "B:TERM@60"
    if launch.options.device == "cuda" and not any(key.startswith(("gres", "gpus")) for key in own):
        usual["gpus-per-node"] = str(devices)
    if "no-requeue" in own or own.get("requeue") == "no":
        del usual["requeue"]
    return [_option(key, value) for key, value in sorted({**usual, **own}.items())]


def several(launch: Launch) -> bool:
    """True if a cell takes several processes, which srun starts."""
    return launch.options.spread.devices * launch.settings.nodes > 1


def _check(key: str, value: str) -> None:
    typed = f"--slurm {key}={value}"
    if not KEY.fullmatch(key):
        raise UsageError(f"{typed!r}: wanted is a long option of sbatch without its dashes, such as partition=gpu")
    if key in OURS:
        raise UsageError(f"{typed!r} cannot be given: {OURS[key]}")
    if not VALUE.fullmatch(value):
        raise UsageError(
            f"{typed!r}: a value may have letters, digits and _.,:;/@%+=*&|!~^()[]- and no blanks or quotes; "
            "for others edit the script that --dry-run prints and submit it by hand"
        )


def _check_size(own: Mapping[str, str], key: str, size: int, option: str) -> None:
    if (given := own.get(key)) is not None and given != str(size):
        raise UsageError(
            f"--slurm {key}={given} contradicts {option}, which is {size} here; leave out {key}, which follows from it"
        )


def _check_gpus(own: Mapping[str, str], key: str, devices: int) -> None:
    """gres=gpu:a100:4 and the like; other resources than GPUs are not looked at."""
    for part in own.get(key, "").split(","):
        kind, *rest = part.split(":")
        if key == "gres" and kind != "gpu":
            continue
        last = rest[-1] if rest else kind
        count = int(last) if last.isdigit() else 1
        if part and count != devices:
            raise UsageError(
                f"--slurm {key}={own[key]} asks for {count} GPUs on each node and --devices is {devices}; "
                f"give --devices {count}, or ask for {devices}"
            )


def _option(key: str, value: str) -> str:
    match value:
        case "" | "yes":
            return f"--{key}"
        case "no":
            return f"--no-{key}"
        case _:
            return f"--{key}={value}"


def script(launch: Launch, chunks: Sequence[str], *, name: str, anew: str = "") -> str:
    """The text of an array script.

    Args:
        chunks: what each task runs, as `dxbench run --cells FILE[...]` takes it.
        name: of the script, by which its logs are called.
        anew: option of `dxbench run` that a task has when it starts for the first time, see `anew_option`.
    """
    template = (resources.files("dxbench.launchers") / "slurm.sh.jinja").read_text(encoding="utf-8")
    environment = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    options = launch.options
    return environment.from_string(template).render(
        job=job_name(launch.sweep.id),
        name=name,
        chunks=chunks,
        at_once=launch.settings.jobs,
        options=sbatch_options(launch),
        places=[(variable, _quoted(place)) for variable, place in options.places.items()],
        folder=_quoted(Path.cwd()),
        command=shlex.join([*_srun(launch), sys.executable, "-m", "dxbench", "run"]),
        plan=_quoted(launch.sweep.file),
        arguments=shlex.join(_arguments(launch)),
        anew=anew,
    )


def anew_option(launch: Launch) -> str:
    """--again or --fresh, where it was given: to be heeded once, and not when a task is put back into the queue."""
    return "--again" if launch.again else "--fresh" if launch.options.fresh else ""


def _quoted(place: Path) -> str:
    return shlex.quote(str(place.resolve()))


def _srun(launch: Launch) -> list[str]:
    if not several(launch):
        return []
    return ["srun", f"--nodes={launch.settings.nodes}", f"--ntasks-per-node={launch.options.spread.devices}"]


def _arguments(launch: Launch) -> list[str]:
    """Options of `dxbench run`, as they were given or are usual."""
    options = launch.options
    words = ["--device", options.device, "--devices", str(options.spread.devices)]
    words += ["--compile", options.compiling] if options.compiling != "auto" else []
    words += [word for name in options.trackers for word in ("--track", name)]
    words += ["--accumulate", str(options.spread.accumulate), "--checkpoint-every", str(options.checkpoint_every)]
    words += ["--jobs", "1", "--retries", "0"]  # both are for the array to see to
    return words + (["--timeout", f"{options.timeout}s"] if options.timeout is not None else [])
