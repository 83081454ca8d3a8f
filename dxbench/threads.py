"""Threads of a computation: their number decides the order of sums, and so the last digits of a number."""

import os

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def fix_threads(count: int) -> None:
    """Let torch, BLAS and OpenMP take so many threads from now on, whatever the environment says."""
    # NumPy and SciPy bring a BLAS each; a library's threads can be told once it is loaded, or before by a variable.
    import scipy.linalg  # noqa: F401
    import torch
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(VARIABLES, str(count)))
    torch.set_num_threads(count)
    threadpool_limits(limits=count)
