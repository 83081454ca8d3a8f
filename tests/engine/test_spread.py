"""Several processes, micro-batches and precision."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Ended, method
from two_processes import CASES, draw, train

from dxbench.api import Model, ResultRecord
from dxbench.engine.distributed_sampling import sampling_together
from dxbench.engine.fabric import FabricWorkers
from dxbench.engine.spread import ParallelSettings, outer_rank
from dxbench.engine.spread import machines as count_machines
from dxbench.errors import UsageError
from dxbench.features.digits_net import quantise
from dxbench.launchers.crew import free_port
from dxbench.records.files import read_record
from dxmi.backbones.edm import EDMUNet
from dxmi.backbones.images import DDPMUNet
from dxmi.energies.critics import ResNetCritic
from dxmi.nets import PRECISIONS
from dxmi.training.optimisers import Learner, OptimizedModule

RUN = ("run", "--task", "gaussians8", "--no-report")
NETS = ("--set", 'backbone={"network": {"hidden": 16}}', "--set", 'critic={"hidden": 16}')
SMALL = ("--set", "iterations=8", *NETS)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes found, each taking its rows in two micro-batches."""
    folder, port = tmp_path_factory.mktemp("pair"), free_port()
    script = Path(__file__).with_name("two_processes.py")
    processes = [
        subprocess.Popen([sys.executable, script, str(rank), str(port), folder], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for process in processes:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]


def test_processes_agree_on_flags_values_and_rows(pair: list[dict[str, Any]]) -> None:
    for found in pair:
        assert found["flags"] == [True, False]
        assert found["first"] == {"rank": 0}
        assert found["gathered"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("task", "name"), CASES)
def test_one_process_micro_batches_and_two_processes_train_the_same(
    pair: list[dict[str, Any]], task: str, name: str
) -> None:
    whole, scalars, _ = train(task, name, None)
    in_parts = train(task, name, FabricWorkers(ParallelSettings(accumulate=2), device="cpu", place=None))
    spread = [in_parts[:2]] + [tuple(found[f"{task} {name}"].values())[:2] for found in pair]
    for state, found in spread:
        assert state.keys() == whole.keys()
        assert found == pytest.approx(scalars, rel=1e-4, abs=1e-5)
        for path, tensor in whole.items():
            torch.testing.assert_close(state[path], tensor, rtol=1e-4, atol=1e-5, msg=path)
    first, second = (found[f"{task} {name}"]["state"] for found in pair)
    assert all(torch.equal(first[path], second[path]) for path in first), "processes drift apart"


@pytest.mark.parametrize(("task", "name"), CASES)
def test_two_processes_draw_the_images_of_one(pair: list[dict[str, Any]], task: str, name: str) -> None:
    """15 samples in batches of 7 over two processes, and in one batch of 16 at most in one."""
    _, _, model = train(task, name, None)
    found = pair[0][f"{task} {name}"]
    samples, nfe = draw(model, 15, 16)
    torch.testing.assert_close(found["samples"], samples, rtol=1e-3, atol=1e-4)
    assert found["nfe"] == nfe
    if model.start is not None:
        start, nfe = draw(model.start, 15, 16)
        assert (quantise(found["start"][0].double().numpy()) == quantise(start.double().numpy())).all()
        assert found["start"][1] == nfe


def test_a_distributed_model_is_able_to_do_what_the_model_is() -> None:
    _, _, model = train("digits", "dxmi", None)
    workers = FabricWorkers(ParallelSettings(accumulate=3), device="cpu", place=None)
    seeds, x = torch.arange(5), torch.zeros(2, 1, 8, 8)
    with sampling_together(model, workers) as spread:
        lacking = {field.name for field in fields(Model) if getattr(model, field.name) is None}
        assert {field.name for field in fields(Model) if getattr(spread, field.name) is None} == lacking
        assert lacking == {"num_classes", "maps", "parts", "denoiser", "weighted_sampler"}
        assert torch.equal(spread.energy(x), model.energy(x))
        for one, of in ((spread, model), (spread.start, model.start)):
            torch.testing.assert_close(one.sample(seeds), of.sample(seeds), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(one.trajectory(seeds), of.trajectory(seeds))
            assert len(one.networks) == len(of.networks) + 1


# --- precision ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_16_bits_train_close_to_float32_with_weights_and_scalars_in_float32(precision: Any) -> None:
    """In fp16 the value's first step overflows, and is left out."""
    whole, scalars, _ = train("digits", "dxmi", None)
    workers = FabricWorkers(ParallelSettings(precision=precision), device="cpu", place=None)
    rounded, found, _ = train("digits", "dxmi", workers)
    assert all(tensor.dtype == torch.float32 for tensor in rounded.values())
    nets = [path for path in whole if "/policy/net" in path or "/value/net" in path]
    assert len(nets) > 4
    apart = [float((rounded[path] - whole[path]).norm() / whole[path].norm().clamp(min=1.0)) for path in nets]
    assert 0 < max(apart) < 0.02
    assert found == pytest.approx(scalars, rel=0.05, abs=0.02)
    assert found != scalars


def fp16_module(weight: torch.nn.Parameter, optimiser: torch.optim.Optimizer, **rest: Any) -> OptimizedModule:
    module = torch.nn.Module()
    module.register_parameter("weight", weight)
    workers = FabricWorkers(ParallelSettings(precision="fp16"), device="cpu", place=None)
    return OptimizedModule(module=module, optimizer=optimiser, parallel=workers, **rest)


def test_fp16_keeps_gradients_that_float16_would_lose() -> None:
    """A gradient of 1e-9 is below float16's least number, 6e-8."""
    weight = torch.nn.Parameter(torch.ones(1))
    trainee = fp16_module(weight, torch.optim.SGD([weight], lr=1e8))
    (loss,) = trainee.accumulated_step(1, lambda rows: (1e-9 * weight.half().float().sum(),))
    assert loss.item() == pytest.approx(1e-9)
    assert weight.item() == pytest.approx(0.9, rel=1e-3)


def test_fp16_clips_the_gradient_itself_and_not_its_scaled_one() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    trainee = fp16_module(weight, torch.optim.SGD([weight], lr=1.0), max_grad_norm=0.1)
    trainee.clipped(0.5).descend(0.2 * weight.sum())
    assert weight.item() == pytest.approx(0.8)
    trainee.descend(0.2 * weight.sum())
    assert weight.item() == pytest.approx(0.7)


def test_fp16_leaves_out_a_step_that_overflows_and_scales_the_next_by_half() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    trainee = fp16_module(weight, torch.optim.Adam([weight], lr=0.1, fused=True))
    assert trainee.scaler.get_scale() == 2**16
    trainee.descend(weight.half().float().sum())  # 2^16 is more than 65,504
    assert (weight.item(), trainee.scaler.get_scale()) == (1.0, 2**15)
    trainee.descend((0.1 * weight.half()).float().sum())
    assert (weight.item(), trainee.scaler.get_scale()) == (pytest.approx(0.9), 2**15)


def test_the_scale_of_losses_is_part_of_the_state() -> None:
    workers = FabricWorkers(ParallelSettings(precision="fp16"), device="cpu", place=None)

    def learner() -> Learner:
        layer = torch.nn.Linear(1, 1, bias=False)
        return Learner(layer, lr=0.1, iterations=10, ema_decay=0.0, parallel=workers)

    first, second = learner(), learner()
    first.descend(first.module(torch.ones(1, 1)).half().float().sum())
    second.load_state_dict(first.state_dict())
    assert second.state_dict()["scaler"] == first.state_dict()["scaler"]
    assert second.state_dict()["scaler"]["scale"] == 2**15


@pytest.mark.parametrize("family", [DDPMUNet, EDMUNet])
def test_the_runs_precision_goes_before_a_backbones_own(family: type[DDPMUNet | EDMUNet]) -> None:
    for own in ("float32", "bfloat16"):
        backbone = family(width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=(), precision=own)
        net = backbone.network((3, 8, 8), torch.Generator().manual_seed(0))
        seen: set[torch.dtype] = set()
        net.stem.register_forward_hook(lambda module, given, out, seen=seen: seen.add(out.dtype))
        for precision in ("32", "bf16", "fp16"):
            with FabricWorkers(
                ParallelSettings(accumulate=2, precision=precision), device="cpu", place=None
            ).autocast():
                assert net(torch.zeros(1, 3, 8, 8), torch.ones(1)).dtype == torch.float32
        assert seen == {torch.float16, torch.bfloat16, PRECISIONS[own]}


def test_a_critics_own_precision_is_of_its_inside_and_its_energies_are_float32() -> None:
    exact, rounded = (
        ResNetCritic(width=8, precision=precision).net(
            (1, 8, 8), num_levels=None, data_std=1.0, generator=torch.Generator().manual_seed(0)
        )
        for precision in PRECISIONS
    )
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    assert rounded(x).dtype == torch.float32
    assert not torch.equal(rounded(x), exact(x))
    torch.testing.assert_close(rounded(x), exact(x), rtol=0.05, atol=0.05)


def test_energies_keep_float32_under_autocast() -> None:
    """bfloat16 has 8 bits: energies that differ by less would tie."""
    from dxmi.energies.values import SharedValue
    from dxmi.nets.mlp import StepMLP

    net = StepMLP(dim_in=2, dim_out=1, num_levels=1, hidden=32, depth=2, generator=torch.Generator().manual_seed(0))
    value = SharedValue(net, num_steps=0)
    x = torch.linspace(0.5, 0.52, 64)[:, None].expand(-1, 2).contiguous()
    with FabricWorkers(ParallelSettings(precision="bf16"), device="cpu", place=None).autocast():
        energies = value.energy(x)
    assert energies.dtype == torch.float32
    assert not torch.equal(energies, energies.bfloat16().float())


def test_a_weight_seen_without_a_graph_still_learns_under_autocast() -> None:
    layer = torch.nn.Linear(2, 1)
    with FabricWorkers(ParallelSettings(precision="bf16"), device="cpu", place=None).autocast():
        with torch.no_grad():
            layer(torch.ones(1, 2))
        loss = layer(torch.ones(1, 2)).sum()
    assert torch.autograd.grad(loss, [layer.weight])[0].abs().sum() > 0


# --- the command line -----------------------------------------------------------------------------------------


def only_record(home: Path) -> ResultRecord:
    (path,) = (home / "results").glob("*/*/*.json")
    record = read_record(path)
    assert isinstance(record, ResultRecord)
    return record


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_micro_batches_and_precision_are_in_the_record(
    dxbench: Callable[..., Ended], home: Path, precision: str
) -> None:
    ended = dxbench(*RUN, "-m", "dxmi", *SMALL, "--accumulate", 3, "--precision", precision)
    assert ended.code == 0, ended.err
    cost = only_record(home).cost
    assert cost is not None
    assert (cost.devices, cost.accumulate, cost.precision) == (1, 3, precision)


def test_another_precision_is_another_row(dxbench: Callable[..., Ended], home: Path) -> None:
    data = (*RUN, "-m", "dxmi", *SMALL, "--results", home / "results")
    for options in ((), ("--precision", "bf16"), ("--precision", "fp16")):
        assert dxbench(*data, *options).code == 0
    assert len(list((home / "results").glob("*/*/*.json"))) == 3
    table = dxbench("table", "-t", "gaussians8", "--results", home / "results", "--format", "csv")
    assert table.code == 0, table.err
    rows = [line for line in table.out.splitlines() if "iterations=8" in line]
    assert [sum(precision in row for row in rows) for precision in ("precision=bf16", "precision=fp16")] == [1, 1], (
        table.out
    )
    assert len(rows) == 3


@pytest.mark.parametrize("options", [("--devices", 2), ("--accumulate", 4), ("--precision", "bf16")])
def test_a_method_of_one_device_is_named(dxbench: Callable[..., Ended], options: tuple[object, ...]) -> None:
    ended = dxbench(*RUN, "-m", "gcd", *options)
    assert ended.code == 2
    assert "gcd runs on one device" in ended.err
    assert " ".join(map(str, options)) in ended.err
    assert "Methods that do: consistency, ddim, ddpm, discriminator_guidance, distribution_matching, dxmi" in ended.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--devices", 2, "--jobs", 2, "--seed", "0,1"), "--jobs and --devices do not go together"),
        (("--accumulate", 201), "a batch of 200 cannot be cut into 201 pieces"),
        (("--devices", max(2, os.cpu_count() or 1) + 1), "CPU cores here"),
        (("--precision", "16"), "fp16"),
    ],
)
def test_what_cannot_be_spread_is_refused(
    dxbench: Callable[..., Ended], home: Path, options: tuple[object, ...], words: str
) -> None:
    ended = dxbench(*RUN, "-m", "dxmi", *SMALL, *options)
    assert ended.code == 2
    assert words in ended.err
    assert not list((home / "results").rglob("*.json"))


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("HungryInParallel", (), "try --accumulate 4 (50 rows at a time)"),
        ("HungryInParallel", ("--accumulate", 8), "try --accumulate 32 (7 rows at a time)"),
        ("HungryInParallel", ("--accumulate", 200), "one row at a time already"),
        ("Hungry", (), "try --set batch_size=50, which is another configuration"),
        ("HungryCPU", (), "try --set batch_size=50"),
    ],
)
def test_out_of_memory_says_what_to_try(
    dxbench: Callable[..., Ended], home: Path, name: str, options: tuple[object, ...], hint: str
) -> None:
    ended = dxbench(*RUN, "-m", method(name), *options)
    assert ended.code == 3
    record = only_record(home)
    assert record.status == "out_of_memory"
    assert record.failure is not None
    assert record.failure.phase == "train"
    assert "3.00 GiB" in record.failure.message
    assert hint in record.failure.message
    assert hint in ended.err


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Neither torchrun nor SLURM has started anything."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC"))]:
        monkeypatch.delenv(name)
    return monkeypatch


def started_by_srun(rank: int, *, processes: int, machines: int) -> dict[str, str]:
    """What srun --nodes=machines --ntasks-per-node=... sets for a process."""
    here = processes // machines
    return {
        "SLURM_JOB_ID": "4321",
        "SLURM_JOB_NAME": "bash",  # as in an interactive allocation
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": str(processes),
        "SLURM_NTASKS_PER_NODE": str(here),
        "SLURM_NNODES": str(machines),
        "SLURM_STEP_NUM_TASKS": str(processes),
        "SLURM_STEP_NUM_NODES": str(machines),
        "SLURM_PROCID": str(rank),
        "SLURM_NODEID": str(rank // here),
        "SLURM_LOCALID": str(rank % here),
    }


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("rank", "processes", "machines", "devices"), [(1, 2, 1, 2), (1, 2, 2, 1), (3, 4, 2, 2), (0, 2, 2, 1)]
)
def test_srun_is_recognised_with_a_process_for_each_device(
    nobody: pytest.MonkeyPatch, rank: int, processes: int, machines: int, devices: int
) -> None:
    assert outer_rank(ParallelSettings(devices=devices)) is None
    set_all(nobody, started_by_srun(rank, processes=processes, machines=machines))
    assert count_machines() == machines
    assert outer_rank(ParallelSettings(devices=devices, machines=machines)) == rank


def test_a_job_script_that_calls_without_srun_is_alone(nobody: pytest.MonkeyPatch) -> None:
    set_all(nobody, {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "training"})
    assert outer_rank(ParallelSettings(devices=2)) is None
    assert count_machines() == 1


@pytest.mark.parametrize(
    ("processes", "machines", "devices", "advice"),
    [(2, 1, 1, "add --devices 2"), (4, 2, 1, "add --devices 2"), (2, 2, 2, "add --devices 1"), (3, 2, 1, "as many on")],
)
def test_processes_of_srun_that_would_run_a_cell_twice_are_refused(
    nobody: pytest.MonkeyPatch, processes: int, machines: int, devices: int, advice: str
) -> None:
    set_all(nobody, started_by_srun(1, processes=processes, machines=machines))
    with pytest.raises(UsageError, match=advice):
        outer_rank(ParallelSettings(devices=devices, machines=machines))


def test_srun_has_to_say_how_many_run_on_each_machine(nobody: pytest.MonkeyPatch) -> None:
    set_all(nobody, started_by_srun(1, processes=2, machines=2))
    nobody.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(UsageError, match="srun --ntasks-per-node=1"):
        outer_rank(ParallelSettings(machines=2))


def test_torchrun_is_recognised(nobody: pytest.MonkeyPatch) -> None:
    set_all(nobody, {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_WORLD_SIZE": "2"})
    assert outer_rank(ParallelSettings(devices=2)) == 1
    with pytest.raises(UsageError, match="add --devices 2"):
        outer_rank(ParallelSettings())
    nobody.setenv("LOCAL_WORLD_SIZE", "1")
    assert count_machines() == 2
    assert outer_rank(ParallelSettings(machines=2)) == 1


def test_two_machines_of_srun_with_a_device_each_run_a_cell_once_together(
    nobody: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> None:
    """srun -N2 --ntasks-per-node=1 dxbench run, as both processes see it."""
    command = [sys.executable, "-m", "dxbench", *RUN, "-m", "dxmi", *SMALL, "--device", "cpu"]
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | started_by_srun(rank, processes=2, machines=2),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    ended = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    assert "sw2" in ended[0][0]
    assert ended[1] == ("", "")
    cost = only_record(home).cost
    assert cost is not None
    assert cost.devices == 2
