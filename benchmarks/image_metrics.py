"""Image metrics against what else there is: feature pass, Frechet distance, precision and recall.

pass      images per second of the `adm` pass over torch-fidelity's own call, on seeded random weights.
frechet   `scipy.linalg.sqrtm` over our trace term at 2,048 dimensions, and the difference of the distances.
manifold  seconds and extra memory of precision and recall.
"""

import argparse
import io
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import linalg
from torch.utils.data import Dataset

from dxbench.assets import file_digest
from dxbench.features.inception import INCEPTION_TENSORFLOW
from dxbench.features.sources import ImageSource
from dxbench.metrics.images.features import FeatureSet
from dxbench.metrics.images.frechet import Moments, array_moments, frechet_distance
from dxbench.metrics.images.precision_recall import precision, recall


class Images(Dataset):  # type: ignore[type-arg]
    """Random CIFAR-sized images, as torch-fidelity takes them."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def feature_pass(n: int, batch_size: int, rounds: int) -> None:
    """Both from uint8 images to features in memory; torch-fidelity with its data loader, as it calls itself."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.utils import get_featuresdict_from_dataset

    class Unloaded(FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: object, **kwargs: object) -> None:
            pass

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    torch.manual_seed(0)
    theirs = Unloaded("random", ["2048", "logits_unbiased"], feature_extractor_weights_path=empty)
    for module in theirs.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    images = np.random.default_rng(0).integers(0, 256, size=(n, 32, 32, 3), dtype=np.uint8)
    cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        torch.save(theirs.state_dict(), path)
        weights = replace(INCEPTION_TENSORFLOW.weights, path=str(path), also=(), digest=file_digest(path))
        extractor = replace(INCEPTION_TENSORFLOW, weights=weights)
        pool3 = FeatureSet(extractor=extractor, kind="pool3")
        if cuda:
            theirs.cuda()

        def ours_once() -> np.ndarray:
            return ImageSource(images, device="cuda" if cuda else "cpu", batch_size=batch_size).features(pool3)

        def theirs_once() -> np.ndarray:
            found = get_featuresdict_from_dataset(Images(images), theirs, batch_size, cuda, False, False)
            return found["2048"].numpy()

        difference = np.abs(ours_once() - theirs_once()).max()
        pairs = [(seconds(ours_once), seconds(theirs_once)) for _ in range(rounds)]
    ratios = [b / a for a, b in pairs]
    print(
        f"pass       {n} images, batch {batch_size}, {'cuda' if cuda else f'{torch.get_num_threads()} threads'}:  "
        f"ours {n / statistics.median(a for a, _ in pairs):.1f} images/s (loading included)  "
        f"torch-fidelity {n / statistics.median(b for _, b in pairs):.1f} images/s  "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})  "
        f"largest difference {difference:.1e}",
        flush=True,
    )


def frechet(dim: int, rounds: int) -> None:
    """Full-rank covariances with a spectrum over three decades; roots are not reused, though references allow it."""
    rng = np.random.default_rng(0)
    spectrum = np.logspace(0, -1.5, dim)
    a, b = (
        array_moments(rng.standard_normal((2 * dim, dim)) * spectrum @ np.linalg.qr(rng.standard_normal((dim, dim)))[0])
        for _ in range(2)
    )

    def with_sqrtm() -> float:
        shift = a.mean - b.mean
        root = np.asarray(linalg.sqrtm(a.cov @ b.cov)).real
        return float(shift @ shift + np.trace(a.cov) + np.trace(b.cov) - 2 * np.trace(root))

    def ours() -> float:
        fresh = (Moments(n=m.n, mean=m.mean, cov=m.cov) for m in (a, b))
        return frechet_distance(*fresh)

    difference = abs(ours() / with_sqrtm() - 1)
    pairs = [(seconds(ours), seconds(with_sqrtm)) for _ in range(rounds)]
    ratios = [theirs / mine for mine, theirs in pairs]
    print(
        f"frechet    {dim} dimensions:  ours {statistics.median(m for m, _ in pairs):.2f} s  "
        f"sqrtm {statistics.median(t for _, t in pairs):.2f} s  "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})  "
        f"relative difference {difference:.1e}",
        flush=True,
    )


def manifold(n: int, dim: int) -> None:
    """Correlated positive features as Inception's are; memory beyond the two feature arrays."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((64, dim), dtype=np.float32)

    def features(shift: float) -> np.ndarray:
        x = np.empty((n, dim), dtype=np.float32)
        for start in range(0, n, 5000):
            part = x[start : start + 5000]
            part[:] = rng.standard_normal((len(part), 64), dtype=np.float32) @ mixing + shift
            np.abs(part, out=part)
        return x

    generated, real = features(0.2), features(0.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    values = precision(generated, real), recall(generated, real)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(
        f"manifold   {n} x {n} x {dim}, {torch.get_num_threads()} threads:  {took:.0f} s ({cpu:.0f} s of CPU)  "
        f"{extra:.2f} GiB extra  precision {values[0]:.4f}  recall {values[1]:.4f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["pass", "frechet", "manifold"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--features", type=int, default=50_000, help="features a side for `manifold`")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if "pass" in arguments.what:
        feature_pass(arguments.images, arguments.batch_size, arguments.rounds)
    if "frechet" in arguments.what:
        frechet(arguments.dim, arguments.rounds)
    if "manifold" in arguments.what:
        manifold(arguments.features, arguments.dim)


if __name__ == "__main__":
    main()
