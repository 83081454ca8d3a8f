"""Owners of claims: who they are, how they are written down, and how to tell the living from the dead."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from dxbench.api import Frozen, refusal
from dxbench.errors import InvalidFile, UsageError
from dxbench.files.faults import machine_fault
from dxbench.files.reading import open_regular

BEAT_SECONDS = 10.0
"""Between the signs of life of an owner."""
SILENT_BEATS = 6
"""Beats that an owner on another host has to miss before it counts as dead."""
LIMIT = 4096
"""Bytes of an owner file, which has some 400."""
ASK_SECONDS = 20.0
"""How long SLURM may take to answer."""

# Variables that schedulers set, and what a job of theirs is called.
_JOBS = {"SLURM_JOB_ID": "SLURM", "PBS_JOBID": "PBS", "LSB_JOBID": "LSF", "FLUX_JOB_ID": "Flux", "JOB_ID": "job"}


class Owner(Frozen):
    """One process that has, or had, claimed something. Its file says no more than this.

    Attributes:
        host, boot, pids: the name of its host, the boot of its kernel, and the namespace that its number is of.
        pid, started: number of the process, and when it started, in ticks since the boot.
        scheduler, job, cluster: what it runs in; "" where in nothing.
        restarts: how often SLURM had begun the job anew.
        token: of this claim and no other.
        state: "interrupted" is of one that has given up with its state saved, and will not come back by itself.
        beat: counts the signs of life.
        step, total: how far it has come; 0 of 0 where it has not said.
        beaten: when the file system saw the last beat, in seconds since 1970: to be shown, and not to be relied on.
    """

    layout: Literal[1] = 1
    host: str = Field(max_length=300)
    boot: str = Field(max_length=100)
    pids: int
    pid: int = Field(gt=0, lt=2**31)
    started: int
    scheduler: str = Field(max_length=20)
    job: str = Field(max_length=100)
    cluster: str = Field(max_length=100)
    restarts: int = 0
    token: str = Field(max_length=100)
    state: Literal["running", "interrupted"] = "running"
    beat: int = 0
    step: int = 0
    total: int = 0
    beaten: float = Field(default=0.0, exclude=True)

    @classmethod
    def of_this_process(cls) -> "Owner":
        host, boot, pids = here()
        name = next((name for name in _JOBS if os.environ.get(name)), "")
        return cls(
            host=host,
            boot=boot,
            pids=pids,
            pid=os.getpid(),
            started=_started(os.getpid()) or 0,
            scheduler=_JOBS.get(name, ""),
            job=os.environ.get(name, "")[:100],
            cluster=os.environ.get("SLURM_CLUSTER_NAME", "")[:100],
            restarts=_restarts(),
            token=secrets.token_hex(8),
        )

    def __str__(self) -> str:
        job = f", {self.scheduler} {self.job}" if self.job else ""
        return f"host {self.host}, process {self.pid}{job}"

    @property
    def text(self) -> bytes:
        """The content of its file: what stays, then `moving`."""
        fixed = self.model_dump(exclude={"state", "beat", "step", "total"})
        return json.dumps(fixed).removesuffix("}").encode() + self.moving

    @property
    def moving(self) -> bytes:
        """The end of its file, always of one length, so that it is written anew in one piece and in its place."""
        counts = ", ".join(f'"{name}": "{getattr(self, name):015d}"' for name in ("beat", "step", "total"))
        return f', "state": "{self.state:11}", {counts}}}\n'.encode()

    @property
    def lives(self) -> bool | None:
        """True if it is still at it; None of one on another host, where only its silence, or its job, could tell."""
        if self.state == "interrupted":
            return False
        return _alive(self.pid, self.started) if (self.host, self.boot, self.pids) == here() else None

    def job_is_gone(self) -> bool:
        """True if SLURM is at hand, is the one that has the owner's job, and knows that to have ended.

        A job that has been begun anew on another host, as after the loss of a node, had ended there.
        """
        if self.scheduler != "SLURM" or not self.job.isdecimal():
            return False
        ours = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_CLUSTER_NAME", "")
        if ours == (self.job, self.cluster):
            return _restarts() > self.restarts
        return _has_ended(self.job, self.cluster)

    @property
    def standing(self) -> Literal["running", "interrupted", "dead", "silent"]:
        """The owner's state for people; on another host it trusts this host's clock, as `Lock` does not."""
        if self.state == "interrupted":
            return "interrupted"
        if (lives := self.lives) is None:
            return "silent" if abs(time.time() - self.beaten) > SILENT_BEATS * BEAT_SECONDS else "running"
        return "running" if lives else "dead"


def read_owner(path: Path) -> Owner | None:
    """The owner that a file names; None where there is no file.

    Raises:
        UsageError: if the file is none of ours.
        MachineFault: if it cannot be read.
    """
    for attempt in range(3):
        try:
            with open_regular(path) as (file, size):
                if size > LIMIT:
                    raise InvalidFile(f"{size:,} bytes, at most {LIMIT:,} are read")
                content, beaten = json.loads(file.read(size)), os.fstat(file.fileno()).st_mtime
            return Owner.model_validate(content | {"state": content["state"].strip(), "beaten": beaten})
        except FileNotFoundError:
            return None
        except (
            InvalidFile,
            ValidationError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            if attempt == 2:
                reason = refusal(error) if isinstance(error, ValidationError) else str(error) or type(error).__name__
                raise UsageError(
                    f"{path} should say who is at work here and cannot be understood ({reason[:200]}); a newer dxbench "
                    "may have written it. Remove it once you know that nobody is"
                ) from None
            time.sleep(0.05)  # a file system without hard links shows files that are being made
        except OSError as error:
            error.filename = error.filename or str(path)
            raise machine_fault(error) or UsageError(f"{path} cannot be read ({error.strerror}); remove it") from None
    raise AssertionError


# --- this host -----------------------------------------------------------------------------------------------


def here() -> tuple[str, str, int]:
    """Host, boot and namespace, which together tell whether a process number means anything to this kernel."""
    boot, pids = "", 0
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        pids = Path("/proc/self/ns/pid").stat().st_ino
    return socket.gethostname(), boot, pids


def _alive(pid: int, started: int) -> bool:
    """True where the process is there and is no other that has got its number since. A stopped one is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(pid) in (None, started)


def _started(pid: int) -> int | None:
    """The start of a process, in ticks since the boot; -1 for one that has ended and only waits for its parent.

    None where the system does not tell.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return -1 if fields[0] in "ZX" else int(fields[19])
    except (OSError, LookupError, ValueError):
        return None


# --- SLURM ---------------------------------------------------------------------------------------------------


def _restarts() -> int:
    count = os.environ.get("SLURM_RESTART_COUNT", "")
    return int(count) if count.isascii() and count.isdecimal() else 0


def _has_ended(job: str, cluster: str) -> bool:
    if shutil.which("squeue") is None:
        return False
    _, config, _ = _asked("scontrol", "show", "config")
    if [line.partition("=")[2].strip() for line in config.splitlines() if line.startswith("ClusterName")] != [cluster]:
        return False  # numbers of another cluster say nothing
    code, out, err = _asked("squeue", "--noheader", "--format=%T", f"--jobs={job}")
    return (code == 0 and not out.strip()) or "Invalid job id" in err


def _asked(*command: str) -> tuple[int, str, str]:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return -1, "", ""
    return ended.returncode, ended.stdout, ended.stderr
