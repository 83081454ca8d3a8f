"""Threads of a computation: how many there are, which decides the last digits of a number, and how they wait."""

import os

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def let_waiting_threads_sleep() -> None:
    """Let threads of OpenMP sleep while they wait for each other, unless the environment says otherwise.

    By default they spin, and keep a core that other work on the machine could have: beside two busy processes on two
    cores a training step then takes ten times as long (`benchmarks/waiting_threads.py`). It has to be called before
    torch is imported, which loads OpenMP, and serves the processes that are started from here too.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def fix_threads(count: int) -> None:
    """Let torch, BLAS and OpenMP take so many threads from now on, whatever the environment says."""
    # NumPy and SciPy bring a BLAS each; a library's threads can be told once it is loaded, or before by a variable.
    import scipy.linalg  # noqa: F401
    import torch
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(VARIABLES, str(count)))
    torch.set_num_threads(count)
    threadpool_limits(limits=count)
