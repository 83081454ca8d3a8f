"""SLURM's own commands, as far as the launcher gives them: what is queued, sbatch, scancel."""

import shutil
import subprocess
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from dxbench.errors import MachineFault, UsageError, unknown

_ENDED = "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT"
ANSWER_SECONDS = 120.0
"""A command of SLURM itself gives up after less, as its administrators have it."""
OUT_OF_REACH = ("unable to contact", "timed out", "connection refused", "temporarily", "zero bytes", "try again")
"""Words of a controller that is restarted or busy, in small letters."""


@dataclass(frozen=True)
class QueuedTask:
    """A task of an array, as squeue tells of it.

    Attributes:
        job: number of the array.
        index: of the task in the array.
        state: in SLURM's words, such as PENDING.
        reason: why it waits.
        start: when it has begun, or will at the earliest; "N/A" where that is not known.
        script: path of what was submitted.
    """

    job: str
    index: int
    state: str
    reason: str
    start: str
    script: Path

    @property
    def ended(self) -> bool:
        """It will not run again."""
        return self.state in _ENDED.split()


def queued(job_name: str) -> list[QueuedTask] | None:
    """The caller's array tasks of a name, those too that ended of late; None where SLURM does not answer."""
    told = _ask(
        "squeue", "--noheader", "--array", "--me", f"--name={job_name}", "--states=all", "--format=%F|%K|%T|%r|%S|%o"
    )
    if told is None or told.returncode:
        return None
    tasks = []
    for line in told.stdout.splitlines():
        job, index, state, reason, start, script = line.split("|", 5)
        if index.isdigit():
            tasks.append(QueuedTask(job, int(index), state, reason, start, Path(script)))
    return tasks


def submit(script: Path, *, after: Collection[str], there: Callable[[], str | None], patience: float = 600.0) -> str:
    """Submit a script from its folder; returns the number of the job.

    Args:
        after: jobs that have to end first, well or not.
        there: asked after a silence of SLURM; the number of the job where the script has arrived all the same.
        patience: seconds for which a silent controller is asked again.

    Raises:
        UsageError: with the words of sbatch, which does not take it.
        MachineFault: where SLURM stays silent.
    """
    waits = [f"--dependency=afterany:{':'.join(sorted(after))}"] if after else []
    deadline, pause = time.monotonic() + patience, 1.0
    while True:
        told = _ask("sbatch", "--parsable", *waits, script.name, folder=script.parent)
        if told is not None and told.returncode == 0:
            return told.stdout.strip().partition(";")[0]
        words = "sbatch did not answer" if told is None else told.stderr.strip()
        if told is not None and not any(sign in words.lower() for sign in OUT_OF_REACH):
            raise UsageError(f"SLURM does not take {script}: {words}")
        if time.monotonic() > deadline:
            raise MachineFault(
                f"SLURM did not take {script} for {patience:.0f} s: {words}; give the command again later"
            )
        time.sleep(pause)
        pause = min(2 * pause, 30.0)
        if arrived := there():
            return arrived


def cancel(jobs: Collection[str]) -> None:
    """SIGTERM, upon which runs save their state, and SIGKILL after the cluster's KillWait.

    Raises:
        MachineFault: where SLURM does not answer.
    """
    told = _ask("scancel", "--quiet", *sorted(jobs))  # of jobs that have ended meanwhile
    if told is None or told.returncode:
        words = "no answer" if told is None else told.stderr.strip()
        raise MachineFault(f"scancel {' '.join(sorted(jobs))} failed ({words}); give it by hand")


def require_slurm(partition: str | None) -> None:
    """Refuse to begin where there is no SLURM, or not the partition.

    Raises:
        UsageError: with the remedy.
    """
    for command in ("sbatch", "squeue", "scancel", "sinfo"):
        if shutil.which(command) is None:
            raise UsageError(
                f"--launcher slurm: no {command} on the path; log in to a node of the cluster from which jobs are "
                "submitted, or leave out --launcher to run here"
            )
    told = _ask("sinfo", "--noheader", "--format=%R")
    if told is None or told.returncode:
        words = "no answer" if told is None else told.stderr.strip()
        raise UsageError(f"--launcher slurm: SLURM does not answer here ({words}); `sinfo` has to work first")
    names = set(told.stdout.split())
    for name in partition.split(",") if partition else []:
        if name not in names:
            raise unknown("partition", name, names, remedy="See `sinfo`.")


def require_acceptable(script: str) -> None:
    """Ask SLURM whether it would take a script.

    Raises:
        UsageError: with the words of sbatch.
    """
    told = _ask("sbatch", "--test-only", script=script)
    if told is not None and told.returncode:
        lines = [line for line in told.stderr.strip().splitlines() if "--help" not in line]
        words = "; ".join(line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines)
        raise UsageError(
            f"SLURM would not take the job: {words}. Its options are those after --slurm; see `man sbatch`."
        )


def largest_array() -> int | None:
    """Tasks that an array of this cluster may have; None where SLURM does not say."""
    told = _ask("scontrol", "show", "config")
    for line in told.stdout.splitlines() if told is not None else []:
        key, _, value = line.partition("=")
        if key.strip() == "MaxArraySize" and value.strip().isdigit():
            return int(value)
    return None


def _ask(
    command: str, *arguments: str, folder: Path | None = None, script: str | None = None
) -> subprocess.CompletedProcess[str] | None:
    """A command and what it said; None where it gave no answer in time or is not here."""
    try:
        return subprocess.run(
            [command, *arguments],
            cwd=folder,
            input=script,
            stdin=subprocess.DEVNULL if script is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
