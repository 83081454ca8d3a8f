"""What image tasks share: from a model to bytes, scores, start, energies and pictures."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Ended
from tiny_images import CLASSES, EXTRACTOR, METRICS, OFFICIAL, TRAIN, N, TinyClasses, TinyImages, write_all
from torch import Tensor, nn

from dxbench.api import Compute, Config, LabelledData, Method, Model, Need, NoTraining, Problem, RandomStreams, Training
from dxbench.errors import InvalidFile, MissingData, UsageError
from dxbench.features.quantisation import quantise
from dxbench.features.sources import ImageSource
from dxbench.metrics.images.features import FeatureSet
from dxbench.metrics.images.frechet import frechet_distance
from dxbench.metrics.scoring import score

HERE = Path(__file__)
TASK = f"{HERE.with_name('tiny_images.py')}:TinyImages"


def quiet(text: str) -> None:
    pass


class Shifted(nn.Module):
    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


def painted(seeds: Tensor) -> Tensor:
    """Seeded noise."""
    images = [torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return 2 * torch.stack(images) - 1


def painter(shift: float = 0.0, **rest: Any) -> Model:
    """Seeded noise through one network."""
    net = Shifted(shift)

    def trajectory(seeds: Tensor) -> Tensor:
        last = net(painted(seeds))
        return torch.stack([last - 1, last])

    return Model(
        networks=(net,),
        sampler=lambda seeds: net(painted(seeds)),
        trajectory_sampler=trajectory,
        energy=lambda x: x.flatten(1).square().mean(dim=1),
        temperature=1.0,
        **rest,
    )


def tuned() -> Model:
    """Fine-tuned from a painter that is further off."""
    return painter(start=painter(0.5))


class ByClass:
    """Paints by class."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.model = Model(
            networks=(Shifted(0.0),), sampler=self.sample, trajectory_sampler=self.trajectory, num_classes=CLASSES
        )

    def sample(self, seeds: Tensor, labels: Tensor) -> Tensor:
        self.asked += labels.tolist()
        return painted(seeds) + 0.1 * labels[:, None, None, None]

    def trajectory(self, seeds: Tensor, labels: Tensor) -> Tensor:
        return torch.stack([self.sample(seeds, labels)] * 2)


ENERGY_ONLY = Model(energy=lambda x: x.flatten(1).sum(dim=1))


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("DXBENCH_DATA", str(folder))
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path / "cache"))
    write_all(folder)
    return folder


def evaluate(model: Any, task: TinyImages | None = None) -> Any:
    return (task or TinyImages()).evaluate(model, seed=5, device="cpu", progress=quiet)


def test_samples_are_scored_as_rounded_bytes_and_kept() -> None:
    found = evaluate(painter())
    samples = quantise(painter().sample(5 + torch.arange(N)).detach().numpy())
    assert found.arrays["samples"].dtype == np.uint8
    assert np.array_equal(found.arrays["samples"], samples)
    pooled = FeatureSet(extractor=EXTRACTOR, kind="pooled")
    wanted = frechet_distance(ImageSource(samples).moments(pooled), ImageSource(TRAIN.images[:50]).moments(pooled))
    assert found.scores["fd_tiny@60"].value == pytest.approx(wanted)
    assert found.nfe == 1.0
    assert found.notes == {"fd_tiny@60_start": "the model was not fine-tuned from another"}
    assert TinyImages().evaluate_samples(samples, progress=quiet).scores == found.scores
    assert score(METRICS, TinyImages().inputs_of(samples), progress=quiet)[0] == found.scores


def test_the_start_is_scored_by_the_same_protocol_and_is_no_merit() -> None:
    found, before = evaluate(tuned()), evaluate(painter(0.5))
    start = found.scores["fd_tiny@60_start"]
    assert start.value == before.scores["fd_tiny@60"].value
    protocols = [found.protocols[one.fingerprint].fields for one in (start, found.scores["fd_tiny@60"])]
    assert protocols[0] == protocols[1] | {"model": "the one that training began from"}
    assert (start.better, found.scores["fd_tiny@60"].better) == ("none", "lower")
    assert found.arrays["start_samples"].shape == (N, 8, 8, 3)


def test_pictures_show_samples_chains_and_energies_in_colour() -> None:
    found = evaluate(tuned())
    assert {"energy of real images", "energy of uniform noise", "energy of samples"} <= set(found.arrays)
    assert found.arrays["chain"].shape == (2, 16, 3, 8, 8)
    pictures = TinyImages().pictures(found.arrays)
    assert [picture.title for picture in pictures] == ["Samples", "Denoising", "Energies"]
    (image,) = pictures[0].figure.axes[0].get_images()
    assert image.get_array().shape[-1] == 4, "colours, and gaps that show what is behind"


def test_classes_are_those_of_the_protocol_and_an_unconditional_model_is_told() -> None:
    by_class = ByClass()
    found = evaluate(by_class.model, TinyClasses())
    assert by_class.asked[:N] == [i % CLASSES for i in range(N)]
    assert found.arrays["chain"].shape == (2, 16, 3, 8, 8)
    with pytest.raises(ValueError, match="the model is unconditional"):
        evaluate(painter(), TinyClasses())
    with pytest.raises(ValueError, match="the task has no classes"):
        evaluate(by_class.model)


def test_a_model_without_samples_has_notes_and_its_energies_are_kept() -> None:
    found = evaluate(ENERGY_ONLY)
    assert found.scores == {}
    assert "fd_tiny@60" in found.notes
    assert "energy of real images" in found.arrays


def test_pixels_that_are_not_finite_are_no_number() -> None:
    with pytest.raises(ValueError, match="60 of 60 samples are not finite"):
        evaluate(painter(float("nan")))


def test_too_few_samples_of_others_are_refused() -> None:
    with pytest.raises(InvalidFile, match="exactly 60 samples, got 59"):
        TinyImages().evaluate_samples(TRAIN.images[:59], progress=quiet)


def test_training_data_are_drawn_with_their_classes_and_read_when_asked_for(data: Path) -> None:
    problem = TinyClasses().problem(oracle=False)
    (data / "tiny" / "images.npy").rename(data / "away.npy")
    with pytest.raises(MissingData, match="dxbench prepare --task tiny_images"):
        problem.data.batch(4, rng=np.random.default_rng(0))
    (data / "away.npy").rename(data / "tiny" / "images.npy")
    assert problem.num_classes == CLASSES
    assert isinstance(problem.data, LabelledData)
    images, labels = problem.data.labelled_batch(50, rng=np.random.default_rng(0))
    assert torch.equal(images, problem.data.batch(50, rng=np.random.default_rng(0)))
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    levels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    rows = [int((TRAIN.images == image).all(axis=(1, 2, 3)).argmax()) for image in levels]
    assert labels.tolist() == TRAIN.labels[rows].tolist()
    assert np.array_equal(levels, TRAIN.images[rows])


def test_official_weights_are_granted_by_name(data: Path) -> None:
    granted = TinyImages().problem(oracle=False).pretrained
    assert granted is not None
    assert granted.load("official")["shift"].item() == 0.25
    with pytest.raises(UsageError, match="Did you mean 'official'"):
        granted.require("offical")
    (data / OFFICIAL.path).unlink()
    with pytest.raises(MissingData, match="dxbench prepare --task tiny_images"):
        granted.require("official")


class PainterMethod(Method):
    """Paints without training."""

    name = "painter"
    version = 1
    Config = Config
    needs = frozenset()

    def start(self, problem: Problem, config: Config, *, compute: Compute, rng: RandomStreams) -> Training:
        return NoTraining(tuned())


def run(dxbench: Callable[..., Ended], *options: object, method: str = f"{HERE}:PainterMethod") -> Ended:
    return dxbench("run", "-t", TASK, "-m", method, *options)


def test_a_run_ends_in_a_record(dxbench: Callable[..., Ended], home: Path) -> None:
    ended = run(dxbench, "--no-report")
    assert ended.code == 0, ended.err
    (path,) = (home / "results").glob("*/*/*.json")
    record = json.loads(path.read_text())
    assert set(record["scores"]) == {metric.name for metric in TinyImages.scored_by}
    assert record["samples_sha256"]


def test_images_are_submitted_as_bytes_and_computed_again(
    dxbench: Callable[..., Ended], home: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dxbench.engine.provenance._git_state", lambda folder: ("0" * 40, False))
    assert run(dxbench, "--no-report", "--seed", "0-1").code == 0
    bundle, painter = tmp_path / "bundle.zip", f"{HERE}:PainterMethod"
    packed = dxbench("submit", "-t", TASK, "-m", painter, "--out", bundle)
    assert packed.code == 0, packed.out + packed.err
    checked = dxbench("validate", bundle, "--task", TASK, "--json")
    assert checked.code == 0, checked.out
    exact = {one["metric"] for one in checked.json["rechecked"] if one["exact"] and one["holds"]}
    assert exact == {metric.name for metric in METRICS}
    assert "fd_tiny@60_start" in {one["what"] for one in checked.json["on_trust"]}
    (data / "weights" / "net.safetensors").unlink()
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path / "other"))
    checked = dxbench("validate", bundle, "--task", TASK, "--json")
    assert checked.code == 5
    assert all("cannot be measured again here" in defect["problem"] for defect in checked.json["defects"])


def test_a_record_says_which_files_nobody_vouches_for(dxbench: Callable[..., Ended], home: Path) -> None:
    assert run(dxbench, "--no-report").code == 0
    (path,) = (home / "results").glob("*/*/*.json")
    (warning,) = json.loads(path.read_text())["warnings"]
    assert "net is unverified: nobody publishes the hash of net.safetensors (sha256 " in warning


def test_a_run_with_a_damaged_hash_beside_a_file_still_has_its_record(
    dxbench: Callable[..., Ended], home: Path, data: Path
) -> None:
    (data / "weights" / "net.safetensors.sha256").write_text("not a hash\n")
    ended = run(dxbench, "--no-report")
    assert ended.code == 3, ended.err
    (path,) = (home / "results").glob("*/*/*.json")
    record = json.loads(path.read_text())
    assert record["status"] == "failed"
    assert "records no sha256 of net.safetensors" in record["failure"]["message"]


def test_a_run_without_the_feature_net_ends_with_7_and_no_number(
    dxbench: Callable[..., Ended], home: Path, data: Path
) -> None:
    (data / "weights" / "net.safetensors").unlink()
    ended = run(dxbench, "--no-report")
    assert ended.code == 7
    task, painter = f"{HERE.parent / 'tiny_images.py'}:TinyImages", f"{HERE}:PainterMethod"
    assert f"fetch it with `dxbench prepare --task {task} --method {painter}`" in ended.err
    (path,) = (home / "results").glob("*/*/*.json")
    record: Mapping[str, Any] = json.loads(path.read_text())
    assert record["status"] == "skipped"
    assert "scores" not in record


class Trains(PainterMethod):
    """Says that it trains on data."""

    name = "trains"
    needs = frozenset({Need.TRAINING_DATA})


@pytest.mark.parametrize(("method", "phase"), [("Trains", "setup"), ("PainterMethod", "evaluate")])
def test_only_methods_that_train_on_data_are_asked_for_them_first(
    dxbench: Callable[..., Ended], home: Path, data: Path, method: str, phase: str
) -> None:
    """This task's reference is of its training images, so that the other method fails later."""
    (data / "tiny" / "images.npy").unlink()
    assert run(dxbench, "--no-report", method=f"{HERE}:{method}").code == 7
    (path,) = (home / "results").glob("*/*/*.json")
    assert json.loads(path.read_text())["failure"]["phase"] == phase


def test_a_method_for_other_data_says_so(dxbench: Callable[..., Ended]) -> None:
    ended = run(dxbench, "--no-report", method="gcd")
    assert ended.code == 3
    assert "gcd needs data that are plain vectors, not images, which tiny_images does not have here" in ended.err


def test_data_row_is_images_that_are_real(dxbench: Callable[..., Ended]) -> None:
    ended = run(dxbench, "--no-report", "--json", method="data")
    assert ended.code == 0, ended.err
    assert ended.json[0]["scores"]["precision_tiny@60"]["value"] > 0
