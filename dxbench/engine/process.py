"""State of the whole process that a run depends on: threads, allocator, global random generators."""

import atexit
import ctypes
import gc
import multiprocessing
import os
import platform
import random
import resource
import sys
import threading
from contextlib import suppress
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dxbench.api import Compute
from dxbench.api.streams import RandomStreams
from dxbench.errors import UsageError, unknown
from dxbench.threads import fix_threads


def choose_device(asked: str, *, auto: str) -> str:
    """The torch device for `asked`, "auto" being `auto` where it exists.

    Raises:
        UsageError: if CUDA is asked for and absent, or the device is unknown.
    """
    if asked == "auto":
        return "cuda" if auto == "cuda" and torch.cuda.is_available() else "cpu"
    if asked not in ("cpu", "cuda"):
        raise unknown("device", asked, ("auto", "cpu", "cuda"), remedy="See `dxbench doctor`.")
    if asked == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return asked


def check_devices(device: str, count: int) -> None:
    """Refuse more processes than the machine has devices, before any is started.

    Raises:
        UsageError: naming how many there are. Two processes are let onto any CPU, to try things out.
    """
    there = torch.cuda.device_count() if device == "cuda" else max(2, os.cpu_count() or 1)
    if count > there:
        kind = "CUDA devices" if device == "cuda" else "CPU cores"
        raise UsageError(f"--devices {count}: there are {there} {kind} here; ask for no more than these")


def end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def prepare_process(compute: Compute) -> None:
    """Fix the thread count, keep memory mapped that is freed from now on, and let go of what earlier runs held."""
    fix_threads(compute.threads)
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        # glibc gives pages back after each large free and maps them again, zeroed, at the next allocation.
        # For nets of a few thousand activations that costs a quarter of the training time.
        libc = ctypes.CDLL("libc.so.6")
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        for option in (trim_threshold, mmap_threshold):
            libc.mallopt(option, 1 << 30)
        libc.mallopt(top_pad, 64 << 20)
        libc.malloc_trim(0)
    if compute.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # from here on, VmHWM is the peak of this run
        Path("/proc/self/clear_refs").write_text("5")


def keep_loaded() -> None:
    """Let later collections of garbage pass over what is alive now: for a process that does nothing but run cells.

    What is loaded by the first run takes a collection a fifth of a second.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # some libraries complain of what they still hold at the end


def seed_global_generators(rng: RandomStreams) -> None:
    """Seed the process-wide generators, so that a method that uses them by accident still repeats."""
    seed = rng.seed("global")
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (the legacy generator is the one to be pinned)
    torch.manual_seed(seed)


def global_generator_state() -> dict[str, Any]:
    """State of the process-wide generators as tensors and plain values."""
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    assert isinstance(state, dict)
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "numpy": state | {"state": {"key": state["state"]["key"].tolist(), "pos": state["state"]["pos"]}},
        "python": [version, list(words), gauss],
    }


def restore_global_generators(state: dict[str, Any]) -> None:
    """Undo of `global_generator_state`."""
    torch.set_rng_state(state["torch"])
    inner = state["numpy"]["state"]
    key = np.array(inner["key"], dtype=np.uint32)
    np.random.set_state(state["numpy"] | {"state": {"key": key, "pos": inner["pos"]}})  # noqa: NPY002
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


def peak_memory_bytes(device: str) -> int:
    """Peak since `prepare_process` of the device's allocator, or of this process's resident memory on a CPU.

    Where the system does not tell the latter, it is the peak since the process began.
    """
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
