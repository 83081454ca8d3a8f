"""`dxbench doctor`: is this machine fit to run, and do runs repeat here?"""

import os
import platform
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text

from dxbench import paths
from dxbench.cli.common import say
from dxbench.errors import DxbenchError, ExitCode
from dxbench.plain import counted
from dxbench.plugins import registry
from dxbench.terminal.console import console


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the doctor's report."""

    name: str
    ok: bool
    found: str


def doctor_command(*, as_json: bool) -> int:
    """Print every check, plug-ins that load in a line together; exit code 1 where one fails."""
    machine = [check() for check in (_versions, _device, _several_devices, _folders, _records, _repeatable)]
    plugins = _plugins()
    checks = machine + plugins
    if as_json:
        say([check.__dict__ for check in checks])
    else:
        out = console(soft_wrap=True)
        bad = [check for check in plugins if not check.ok]
        for check in [*machine, *bad, *_folded([check for check in plugins if check.ok])]:
            mark = Text("ok  ", style="green") if check.ok else Text("BAD ", style="red")
            out.print(mark + f"{check.name}: {check.found}")
    return int(ExitCode.OK if all(check.ok for check in checks) else ExitCode.INTERNAL)


def _guard(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, found=check())
    except (DxbenchError, OSError, ImportError, AssertionError) as error:
        return Check(name=name, ok=False, found=str(error))


def _versions() -> Check:
    def found() -> str:
        import torch

        import dxbench

        return f"dxbench {dxbench.__version__}, Python {platform.python_version()}, torch {torch.__version__}"

    return _guard("versions", found)


def _device() -> Check:
    def found() -> str:
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        cuda = f"{len(names)} CUDA: {', '.join(sorted(set(names)))}" if names else "no CUDA device"
        return f"{os.cpu_count()} CPU cores, {cuda}"

    return _guard("devices", found)


def _several_devices() -> Check:
    """Report what `dxbench run --devices` and `--precision` can count on."""

    def found() -> str:
        from importlib.metadata import version

        import torch
        import torch.distributed as dist

        there = dist.is_available()
        backends = [
            name
            for name, here in (
                ("gloo", there and dist.is_gloo_available()),
                ("nccl", there and dist.is_nccl_available()),
            )
            if here
        ]
        if torch.cuda.is_available():
            bf16 = "native" if torch.cuda.is_bf16_supported(including_emulation=False) else "emulated, slow"
        else:
            bf16 = f"on the CPU ({torch.backends.cpu.get_cpu_capability()}), for trying out"
        return (
            f"lightning-fabric {version('lightning-fabric')}, processes over {' and '.join(backends) or 'nothing'}; "
            f"precision 32 and fp16, and bf16 {bf16}"
        )

    return _guard("several devices", found)


def _folders() -> Check:
    def found() -> str:
        from dxbench.files.writing import check_writable

        check_writable(paths.home(), remedy=paths.HOME_REMEDY)
        check_writable(paths.results(), remedy=paths.RESULTS_REMEDY)
        return (
            f"work in {paths.home().resolve()} ({paths.chosen_by('DXBENCH_HOME')}), records in "
            f"{paths.results().resolve()}, data in {paths.data().resolve()} ({paths.chosen_by('DXBENCH_DATA')})"
        )

    return _guard("folders", found)


def _records() -> Check:
    def found() -> str:
        from dxbench.records.index import open_index

        index = open_index([paths.reference_results(), paths.results()])
        index.refuse_problems()
        return f"{sum(len(index.entries(task)) for task in index.tasks)} readable"

    return _guard("records", found)


def _repeatable() -> Check:
    """Two trainings of a few steps from one seed end in the same bits."""

    def found() -> str:
        from dxbench.engine.repeatability import assert_repeats

        steps = assert_repeats("gaussians8", "dxmi")
        return f"{steps} steps of dxmi on gaussians8 gave the same bits twice"

    return _guard("repeatability", found)


def _plugins() -> list[Check]:
    checks = [Check(name="entry points", ok=False, found=text) for text in registry.outdated()]
    for kind in ("tasks", "methods", "launchers"):
        for name, plugin in sorted(registry.plugins(kind).items()):
            checks.append(_guard(f"{kind[:-1]} {name}", lambda plugin=plugin: _loads(plugin)))
    return checks


def _folded(loading: list[Check]) -> list[Check]:
    """Plug-ins that load, in one line."""
    count = Counter(check.name.partition(" ")[0] for check in loading)
    found = ", ".join(counted(n, kind) for kind, n in count.items())
    return [Check(name="plug-ins", ok=True, found=f"{found} load")] if loading else []


def _loads(plugin: registry.Plugin) -> str:
    plugin.load()
    return f"{plugin.entry.value} ({plugin.origin})"
