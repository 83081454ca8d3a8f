"""The Ray launcher: on a real Ray of two nodes, of which one is lost, and against what cannot work."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import method

from dxbench import errors
from dxbench.api import ResultRecord
from dxbench.engine.attempt import RunOptions
from dxbench.engine.listener import Silent
from dxbench.engine.plan import Cell, plan
from dxbench.engine.spread import ParallelSettings
from dxbench.errors import DxbenchError, Interrupted, MachineFault, UsageError
from dxbench.launchers import Launch, LaunchSettings, Outcome, ray_cluster
from dxbench.launchers.local import LocalLauncher
from dxbench.launchers.ray import Ended, RayLauncher, run_there
from dxbench.sweeps import Sweep, with_starts

QUICK = f"{Path(__file__).parents[1] / 'attack' / 'quick.py'}:Quick"
OBJECT_STORE = 80 * 2**20
PATIENCE = 240.0
"""Seconds that things may take on a busy machine."""


def toys(*, seeds: int, iterations: int = 40) -> list[Cell]:
    """Cells that take four seconds each, so that there is time to break something."""
    settings = {"pause": 0.1, "iterations": iterations}
    return plan(QUICK, method("Toy"), preset="default", overrides=settings, seeds=list(range(seeds)))


@dataclass
class Heard(Silent):
    """What a listener was told."""

    warnings: list[str] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)

    def warned(self, cell: Cell, text: str) -> None:
        self.warnings.append(text)

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        self.resumed.append(first_step)


def launch(
    home: Path,
    cells: list[Cell],
    *,
    stop: Callable[[], bool] = lambda: False,
    listener: Silent | None = None,
    retries: int = 2,
    **ray: str,
) -> Launch:
    return Launch(
        sweep=Sweep.planned(home, cells),
        waiting=cells,
        seconds={},
        options=RunOptions(home=home, results=home / "results", device="cpu", checkpoint_every=0.1),
        settings=LaunchSettings(retries=retries, own={"ray": ray}),
        listener=listener or Silent(),
        stop_requested=stop,
    )


def numbers(outcomes: list[Outcome]) -> dict[str, Any]:
    """All of the records but where they come from and what they cost."""
    assert [str(one.error) for one in outcomes if one.error] == []
    records = [one.record for one in outcomes if one.record is not None]
    return {record.run_id: record.model_dump(exclude={"provenance", "cost"}) for record in records}


def undisturbed(home: Path, cells: list[Cell]) -> dict[str, Any]:
    """The same by the local launcher."""
    return numbers(list(LocalLauncher().run(launch(home, cells))))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """The numbers of the first toys, by how many they are."""
    three = toys(seeds=3)
    found = undisturbed(tmp_path_factory.mktemp("local"), three)
    return {count: {cell.run_id: found[cell.run_id] for cell in three[:count]} for count in (2, 3)}


# --- a real Ray of two nodes -----------------------------------------------------------------------------------------


def processes(having: bytes, *, file: str) -> list[int]:
    """The processes that have a text in their command line, or in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and int(folder.name) != os.getpid() and having in (folder / file).read_bytes():
                found.append(int(folder.name))
        except OSError:  # ended meanwhile
            continue
    return found


def workers_at(home: Path) -> list[int]:
    """Ray's workers that have been given cells whose work lies in a home."""
    at_home = processes(f"DXBENCH_HOME={home}\0".encode(), file="environ")
    return [one for one in processes(b"ray::run_there", file="cmdline") if one in at_home]


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.1)


class TwoNodes:
    """A Ray of a head and a node, with a CPU each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster()
        try:
            self._add(include_dashboard=False)
            self.second = self._add()
            self._cluster.wait_for_nodes()
        except BaseException:
            self._cluster.shutdown()
            raise

    def _add(self, **settings: Any) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE, **settings)

    @property
    def address(self) -> str:
        return self._cluster.address

    def lose_second(self) -> None:
        """Kill all that is on the second node, and bring up a fresh one."""
        self._cluster.remove_node(self.second, allow_graceful=False)
        self.second = self._add()

    def down(self) -> None:
        session = Path(self._cluster.head_node.get_session_dir_path()).name.encode()
        self._cluster.shutdown()
        wait_for(lambda: not processes(session, file="cmdline"), f"processes of {session!r} stay behind")


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    """Two nodes. Ray gives up on the start of one after seconds that a busy machine may well need."""
    pytest.importorskip("ray")
    found = None
    for _ in range(3):
        try:
            found = TwoNodes()
            break
        except Exception as error:
            reason = error
    if found is None:
        pytest.skip(f"no Ray of two nodes comes up on this machine, tried three times: {reason}")
    try:
        yield found
    finally:
        found.down()


@dataclass
class Once:
    """Does something as soon as it may be done; asked by the launcher whether to stop, which it is not."""

    ready: Callable[[], object]
    act: Callable[[], object]
    done: bool = False

    def __call__(self) -> bool:
        if not self.done and self.ready():
            self.act()
            self.done = True
        return False


def checkpoints(home: Path) -> list[Path]:
    return list(home.rglob("checkpoint.safetensors"))


def marked(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.slow(pytest.mark.timeout(600)(test))


@marked
def test_a_sweep_with_a_shared_start_has_the_records_of_a_local_one(nodes: TwoNodes, tmp_path: Path) -> None:
    rows = [("ddim", {"num_steps": 5}), ("ddim", {"num_steps": 10}), ("dxmi", {})]
    cells = [c for name, sets in rows for c in plan(QUICK, name, preset="quick", overrides=sets, seeds=[0])]
    planned = list(with_starts(cells))
    assert [cell.part for cell in planned] == ["start", "run", "run", "run"]
    wanted = undisturbed(tmp_path / "local", planned)
    mine = launch(tmp_path / "ray", planned, address=nodes.address)
    RayLauncher().check(mine)
    outcomes = list(RayLauncher().run(mine))
    order = [one.cell.run_id for one in outcomes]
    assert all(order.index(cell.needs) < order.index(cell.run_id) for cell in planned if cell.needs)
    assert numbers(outcomes) == wanted
    assert len(wanted) == 3


@marked
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_the_cell_of_a_worker_that_is_ended_goes_on(
    nodes: TwoNodes, tmp_path: Path, alone: Any, sent: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    cells, home, heard = toys(seeds=2), tmp_path / "ray", Heard()
    ended: list[int] = []

    def end() -> None:
        ended.append(workers_at(home)[0])
        os.kill(ended[0], sent)

    stop = Once(lambda: len(checkpoints(home)) == 2, end)
    outcomes = list(RayLauncher().run(launch(home, cells, stop=stop, listener=heard, address=nodes.address)))
    assert len(ended) == 1
    assert numbers(outcomes) == alone[2]
    assert ["died, or its node" in text for text in heard.warnings] == [True] * (sent == signal.SIGKILL)
    assert capfd.readouterr().out == ""  # which is for records
    assert sum(first > 0 for first in heard.resumed) == 1


@marked
def test_cells_of_a_lost_node_are_run_on_another(nodes: TwoNodes, tmp_path: Path, alone: Any) -> None:
    cells, home, heard = toys(seeds=3), tmp_path / "ray", Heard()
    stop = Once(lambda: len(checkpoints(home)) == 2, nodes.lose_second)
    outcomes = list(RayLauncher().run(launch(home, cells, stop=stop, listener=heard, address=nodes.address)))
    assert stop.done
    assert numbers(outcomes) == alone[3]
    assert ["died, or its node" in text for text in heard.warnings] == [True]


@marked
def test_a_worker_runs_cell_after_cell_with_torch_loaded(nodes: TwoNodes, tmp_path: Path) -> None:
    def and_say_where(cell: Cell, options: RunOptions, sweep: Path) -> Ended:
        return replace(run_there(cell, options, sweep), told=[("warned", {"text": str(os.getpid())})])

    heard = Heard()
    mine = launch(tmp_path, toys(seeds=6), listener=heard, address=nodes.address)
    assert len(numbers(list(RayLauncher(and_say_where).run(mine)))) == 6
    assert len(heard.warnings) == 6
    assert len(set(heard.warnings)) <= 2  # workers, one for each CPU


@marked
def test_a_cell_that_kills_its_worker_is_given_up_after_its_retries(nodes: TwoNodes, tmp_path: Path) -> None:
    def die(cell: Cell, options: RunOptions, sweep: Path) -> Ended:
        with (tmp_path / "tries").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
        return Ended(outcome=Outcome(cell=cell))

    (outcome,) = RayLauncher(die).run(launch(tmp_path, toys(seeds=1), retries=1, address=nodes.address))
    assert isinstance(outcome.error, MachineFault)
    assert "the same command goes on" in str(outcome.error)
    assert (tmp_path / "tries").read_text() == "xx"


@marked
def test_an_error_that_is_none_of_ours_is_told_and_not_tried_again(nodes: TwoNodes, tmp_path: Path) -> None:
    def fail(cell: Cell, options: RunOptions, sweep: Path) -> Ended:
        raise ValueError("a defect")

    heard = Heard()
    (outcome,) = RayLauncher(fail).run(launch(tmp_path, toys(seeds=1), listener=heard, address=nodes.address))
    assert "ValueError: a defect" in str(outcome.error)
    assert heard.warnings == []


@marked
def test_a_sweep_that_is_to_stop_saves_and_the_same_goes_on(nodes: TwoNodes, tmp_path: Path, alone: Any) -> None:
    cells, home, heard = toys(seeds=3), tmp_path / "ray", Heard()
    mine = launch(home, cells, stop=lambda: len(checkpoints(home)) == 2, listener=heard, address=nodes.address)
    stopped = list(RayLauncher().run(mine))
    assert [type(one.error) for one in stopped] == [Interrupted, Interrupted]
    assert not list((home / "results").rglob("*.json"))
    outcomes = list(RayLauncher().run(replace(mine, stop_requested=lambda: False)))
    assert numbers(outcomes) == alone[3]
    assert sum(first > 0 for first in heard.resumed) == 2


@marked
def test_cells_see_that_their_sweep_is_cancelled_by_themselves(nodes: TwoNodes, tmp_path: Path) -> None:
    cells = toys(seeds=2, iterations=2000)
    mine = launch(tmp_path, cells, address=nodes.address)
    mine.sweep.write()

    stop = Once(lambda: len(checkpoints(tmp_path)) == 2, mine.sweep.cancelled.touch)
    outcomes = list(RayLauncher().run(replace(mine, stop_requested=stop)))
    assert [type(one.error) for one in outcomes] == [Interrupted, Interrupted]


# --- the command -----------------------------------------------------------------------------------------------------


@contextmanager
def command(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`dxbench run` of two toys by Ray, in a process of its own."""
    run = (
        "run",
        "-t",
        QUICK,
        "-m",
        method("Toy"),
        "-s",
        "0,1",
        "--set",
        "iterations=40",
        "--set",
        "pause=0.1",
        "--no-report",
        "--json",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "dxbench", *run, "--checkpoint-every", "0.1", "--launcher", "ray", *arguments],
        env={**os.environ, "DXBENCH_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def complete(home: Path, *arguments: str) -> dict[str, Any]:
    """The records that the command ends with."""
    with command(home, *arguments) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "resumed at step" in err
    records = [ResultRecord.model_validate_json(json.dumps(one)) for one in json.loads(out)]
    return {record.run_id: record.model_dump(exclude={"provenance", "cost"}) for record in records}


@marked
def test_the_command_stopped_by_a_signal_saves_and_goes_on(nodes: TwoNodes, tmp_path: Path, alone: Any) -> None:
    home, at = tmp_path / "ray", ("--ray", f"address={nodes.address}")
    with command(home, *at) as process:
        wait_for(lambda: len(checkpoints(home)) == 2, "checkpoints")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "state saved" in err
    assert not list((home / "results").rglob("*.json"))
    assert complete(home, *at) == alone[2]


@marked
def test_the_command_killed_with_the_ray_that_it_started_goes_on(tmp_path: Path, alone: Any) -> None:
    pytest.importorskip("ray")
    home = tmp_path / "ray"
    with command(home) as process:
        wait_for(lambda: len(checkpoints(home)) == 2 or process.poll() is not None, "checkpoints")
        if process.poll() == errors.ExitCode.MACHINE:
            pytest.skip("no Ray comes up on this machine")
        process.kill()
        process.communicate()
    at_home = f"DXBENCH_HOME={home}\0".encode()
    wait_for(lambda: not processes(at_home, file="environ"), "the Ray outlives the command that started it")
    assert complete(home) == alone[2]
    wait_for(lambda: not processes(at_home, file="environ"), "something outlives the command")


# --- what cannot work ------------------------------------------------------------------------------------------------


def refusal(tmp_path: Path, *, settings: Mapping[str, Any] | None = None, **ray: str) -> str:
    mine = launch(tmp_path, toys(seeds=1), **ray)
    with pytest.raises(UsageError) as refused:
        RayLauncher().check(replace(mine, settings=replace(mine.settings, **(settings or {}))))
    assert not tmp_path.joinpath("sweeps").exists()
    return str(refused.value)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray, wherever the tests run; nothing of it is called."""
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: object())
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'dxmi-bench[ray]'" in refusal(tmp_path)


@pytest.mark.usefixtures("installed")
def test_an_address_where_nobody_listens_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"no Ray answers at '{address}'" in refusal(tmp_path, address=address)
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert f"no Ray answers at '{address}'" in refusal(tmp_path)


@pytest.mark.usefixtures("installed")
def test_a_listener_that_is_no_ray_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert f"no Ray answers at '{address}'" in refusal(tmp_path, address=address)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", ":6379"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    assert "host:port" in refusal(tmp_path, address=address)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("own", [{"cpus": "1"}, {"num_cpus": "many"}, {"num_gpus": "-1"}, {"resources": "a100"}])
def test_settings_that_are_none_are_refused(tmp_path: Path, own: dict[str, str]) -> None:
    (key,) = own
    text = refusal(tmp_path, **own)
    assert key in text
    assert "num_cpus=N" in text


@pytest.mark.usefixtures("installed")
def test_several_nodes_and_detaching_are_refused_with_what_does_it(tmp_path: Path) -> None:
    assert "--launcher slurm" in refusal(tmp_path, settings={"nodes": 2})
    assert "ray job submit" in refusal(tmp_path, settings={"detach": True})


def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], **ray: str) -> None:
    """Check a launch on a Ray of two nodes, of which one has four GPUs."""
    monkeypatch.setattr(
        "dxbench.launchers.ray.nodes_at", lambda address: [{"CPU": 64.0}, {"CPU": 8.0, "GPU": 4.0, "a100": 1.0}]
    )
    mine = launch(tmp_path, toys(seeds=1), **ray)
    RayLauncher().check(replace(mine, options=replace(mine.options, **options)))


@pytest.mark.usefixtures("installed")
def test_cells_that_no_node_has_room_for_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spread = ParallelSettings(devices=4)
    check(tmp_path, monkeypatch, {"device": "cuda", "spread": spread})
    check(tmp_path, monkeypatch, {"device": "cuda"}, num_gpus="0.25", resources='{"a100": 1}')
    for options, ray, said in [
        ({"device": "cuda", "spread": ParallelSettings(devices=8)}, {}, "8 GPU, and no node .*at most 64 CPU, 4 GPU"),
        ({"device": "cuda", "spread": spread}, {"num_gpus": "2"}, "contradict"),
        ({"device": "cuda"}, {"num_gpus": "0"}, "contradict"),
        ({"device": "cpu"}, {"num_cpus": "65"}, "65 CPU, and no node"),
        ({"device": "cpu"}, {"resources": '{"tpu": 1}'}, "1 tpu, and no node"),
    ]:
        with pytest.raises(UsageError, match=said):
            check(tmp_path, monkeypatch, options, **ray)


def test_every_error_of_ours_travels(tmp_path: Path) -> None:
    def all_of(kind: type[DxbenchError]) -> Iterator[type[DxbenchError]]:
        yield kind
        for below in kind.__subclasses__():
            yield from all_of(below)

    for kind in all_of(DxbenchError):
        error = kind("got this, wanted that")
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back), back.exit_code) == (kind, str(error), kind.exit_code)
    missing = errors.MissingData("a", "b", commands=["dxbench prepare"])
    back = pickle.loads(pickle.dumps(missing))
    assert (str(back), vars(back)) == (str(missing), vars(missing))
