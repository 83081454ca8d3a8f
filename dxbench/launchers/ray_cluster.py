"""A Ray to run on: which one, what its nodes have, and how this process gets there."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Annotated, Any

import torch
from pydantic import Field, ValidationError

from dxbench.api import Frozen, refusal
from dxbench.errors import MachineFault, UsageError

ABSENT = "Ray is not installed here; `pip install 'dxmi-bench[ray]'` installs it, on the nodes of a cluster as well"
OBJECT_STORE = 80 * 2**20
"""Bytes of a local Ray's object store, about the least it takes; cells leave records and little else there."""
PATIENCE = 30.0
"""Seconds that a cluster may take to answer. Ray by itself would wait for minutes."""
STARTS = 3
"""Attempts to start a local Ray, which gives up too early where a machine is busy."""

Node = Mapping[str, float]
"""What a node has, by Ray's names: CPU, GPU, memory and others."""
Amount = Annotated[float, Field(ge=0)]


class RaySettings(Frozen):
    """Settings of `--ray key=value`.

    Attributes:
        address: host:port of a cluster, or "auto" for the one that this machine is part of; None starts a local one.
        num_cpus: CPUs that a cell takes; None for the threads of its task.
        num_gpus: GPUs that a cell takes, 0.25 for four cells on one; None for --devices, where it runs on CUDA.
        resources: other resources that a cell takes, such as {"a100": 1}.
    """

    address: str | None = None
    num_cpus: Amount | None = None
    num_gpus: Amount | None = None
    resources: dict[str, Amount] = Field(default_factory=dict)

    @classmethod
    def typed(cls, own: Mapping[str, str]) -> "RaySettings":
        """The settings that were typed; without an address that of RAY_ADDRESS.

        Raises:
            UsageError: for other keys, and for values that are no number, address or JSON.
        """
        address = own.get("address") or os.environ.get("RAY_ADDRESS") or None
        try:
            rest = {key: json.loads(value) for key, value in own.items() if key != "address"}
            return cls.model_validate({**rest, "address": None if address == "local" else address})
        except (json.JSONDecodeError, ValidationError) as error:
            reason = refusal(error) if isinstance(error, ValidationError) else str(error)
            raise UsageError(
                f'--ray takes address=HOST:PORT, num_cpus=N, num_gpus=N and resources={{"NAME": N}}, got '
                f"{' '.join(f'{key}={value}' for key, value in own.items())} ({reason})"
            ) from None


def require_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        UsageError: with what installs it.
    """
    if find_spec("ray") is None:
        raise UsageError(ABSENT)


def nodes_at(address: str | None) -> Sequence[Node]:
    """The nodes of a cluster, or this machine where a local Ray is to be started.

    Asked by a process of its own, which can be ended when no answer comes.

    Raises:
        UsageError: if no Ray answers there, or one of another version does.
    """
    if address is None:
        return [{"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}]
    remedy = "see `ray status` there, or leave out the address (RAY_ADDRESS too) for a Ray of this machine"
    _check_listening(address, remedy)
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK, address], capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        found: list[Node] | str = json.loads(asked.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        found = f"nothing came in {PATIENCE:.0f} s"
    except (subprocess.CalledProcessError, ValueError, IndexError) as error:
        found = str(error)
    if isinstance(found, str):
        raise UsageError(f"no Ray answers at {address!r} ({' '.join(found.split())}); {remedy}")
    return found


_ASK = """
import json, sys
try:
    import ray
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
    print(json.dumps([node["Resources"] for node in ray.nodes() if node["Alive"]]))
except Exception as error:
    print(json.dumps(str(error)))
"""


def _check_listening(address: str, remedy: str) -> None:
    """Refuse at once what is no address of a cluster, or where nobody listens."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UsageError(
            f"the address of a Ray is host:port or auto, got {address!r}; run the command on one of its nodes"
        )
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"no Ray answers at {address!r} ({error}); {remedy}") from None


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected; a local Ray ends with the context.

    What Ray tells of its nodes goes to stderr, where it would print to stdout, and signals stay with who has them.

    Raises:
        MachineFault: if the cluster has gone meanwhile, or a local Ray does not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    with redirect_stdout(sys.stderr):
        try:
            with _signals_kept():
                if address is None:
                    _start(ray)
                else:
                    _join(ray, address)
            yield ray
        finally:
            ray.shutdown()


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:
        raise MachineFault(f"the Ray at {address} no longer answers ({error}); give the same command again") from error


def _start(ray: Any) -> None:
    for attempt in range(1, STARTS + 1):
        try:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                log_to_driver=False,
                logging_level="ERROR",
            )
            return
        except Exception as error:
            ray.shutdown()
            if attempt == STARTS:
                raise MachineFault(
                    f"no Ray starts on this machine, tried {STARTS} times ({error}); give the same command again when "
                    "the machine is less busy, or leave out --launcher ray"
                ) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Undo what Ray does to the handling of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
