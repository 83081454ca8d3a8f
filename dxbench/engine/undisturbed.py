"""Work in the midst of other work: what it changes of the process is put back."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from dxbench.engine.process import global_generator_state, restore_global_generators
from dxbench.threads import VARIABLES


@contextmanager
def undisturbed(networks: Iterable[torch.nn.Module] = ()) -> Iterator[None]:
    """Put back generators, thread counts, torch's modes and those of networks at the end.

    Within, networks are in evaluation mode, gradients can be taken, and all is in float32 on the CPU unless something
    else is asked for: a number is what it is in a process of its own.
    """
    modes = {module: module.training for network in networks for module in network.modules()}
    generators, threads = global_generator_state(), torch.get_num_threads()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    variables = {name: os.environ.get(name) for name in VARIABLES}
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(limits=None))  # puts back what others set meanwhile
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if torch.cuda.is_available():
            stack.enter_context(torch.autocast("cuda", enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
        cudnn: Any = torch.backends.cudnn
        deterministic, benchmark = torch.get_deterministic_debug_mode(), (cudnn.benchmark, cudnn.deterministic)
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        torch.set_deterministic_debug_mode("default")
        cudnn.benchmark = cudnn.deterministic = False
        for module in modes:
            module.training = False
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(precision)
            torch.set_deterministic_debug_mode(deterministic)
            cudnn.benchmark, cudnn.deterministic = benchmark
            for module, training in modes.items():
                module.training = training
            restore_global_generators(generators)
            if cuda:
                torch.cuda.set_rng_state_all(cuda)
            torch.set_num_threads(threads)
            for name, value in variables.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
