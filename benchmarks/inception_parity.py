"""Metrics on the real Inception against torch-fidelity, pytorch-fid and clean-fid, each from images to numbers.

Two disjoint thousands of real images, lossless CIFAR-10 (`cifar10_subset`). Every package reads the same weights, the
trunk with zeros for its classifier, and extracts features by itself; each pass is kept in --work, so that a run that
was stopped goes on. With 1,000 images in 2,048 dimensions covariances are singular, and a matrix square root of their
product is ill-posed: the column "thin factors" is the distance from the features in float64 by singular values,
tr sqrt(A B) = ||X Y^T||_* of centred features over sqrt(n - 1), which takes no root of anything singular.

`pip install --no-deps pytorch-fid==0.3.0` brings the one that the extra `dev` does not.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from dxbench.assets.catalogue import CIFAR10_SUBSET, INCEPTION_2015
from dxbench.features.inception import INCEPTION_CLEAN, INCEPTION_TENSORFLOW, INCEPTION_TORCH
from dxbench.features.sources import ImageSource
from dxbench.files import weights
from dxbench.metrics.images.features import FeatureSet
from dxbench.metrics.images.frechet import array_moments, frechet_distance
from dxbench.metrics.images.kernel import kernel_distances
from dxbench.metrics.images.precision_recall import precision, recall
from dxbench.tasks.cifar10 import read_subset

Array = NDArray[np.floating]
Images = NDArray[np.uint8]
SETS = ("a", "b")
WAYS = {"torch-fidelity": INCEPTION_TENSORFLOW, "pytorch-fid": INCEPTION_TORCH, "clean-fid": INCEPTION_CLEAN}


def images(n: int) -> dict[str, Images]:
    """Training images 0 to n and n to 2 n."""
    train = read_subset(CIFAR10_SUBSET.verify())["train"].images
    return {"a": train[:n], "b": train[n : 2 * n]}


def official_layout(work: Path) -> Path:
    """The weights as the packages take them: a state dict with a classifier, of zeros."""
    path = work / "pt_inception-2015-12-05.pth"
    state = weights.read(INCEPTION_2015.verify())
    torch.save({"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008), **state}, path)
    return path


def of_ours(way: str) -> Callable[[Images, Path], Array]:
    features = FeatureSet(extractor=WAYS[way], kind="pool3")
    return lambda batch, work: ImageSource(batch).features(features)


class Pixels(Dataset):  # type: ignore[type-arg]
    """Images as torch-fidelity takes them."""

    def __init__(self, images: Images) -> None:
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


def of_torch_fidelity(batch: Images, work: Path) -> Array:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.utils import get_featuresdict_from_dataset

    net = FeatureExtractorInceptionV3("it", ["2048"], feature_extractor_weights_path=str(official_layout(work)))
    return get_featuresdict_from_dataset(Pixels(batch), net, 50, False, False, False)["2048"].numpy()


def of_pytorch_fid(batch: Images, work: Path) -> Array:
    """Its network and its pass over files; its home of weights is turned to the file."""
    from pytorch_fid import fid_score, inception

    path = official_layout(work)
    inception.load_state_dict_from_url = lambda url, progress: torch.load(path, weights_only=True)
    net = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{i:05}.png" for i in range(len(batch))]
        for file, image in zip(files, batch, strict=True):
            Image.fromarray(image).save(file)
        return fid_score.get_activations(files, net, batch_size=50, dims=2048, device="cpu", num_workers=0)


def of_clean_fid(batch: Images, work: Path) -> Array:
    """Its resize and its pass, on torch-fidelity's blocks: its own network is a TorchScript of NVIDIA's."""
    from cleanfid.resize import build_resizer
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    net = FeatureExtractorInceptionV3("it", ["2048"], feature_extractor_weights_path=str(official_layout(work)))
    resize = build_resizer("clean")
    found = []
    with torch.no_grad():
        for start in range(0, len(batch), 50):
            x = torch.from_numpy(np.stack([resize(image) for image in batch[start : start + 50]])).permute(0, 3, 1, 2)
            x = (x - 128) / 128
            for name, block in net.named_children():
                x = x if name == "fc" else block(x)
            found.append(x.flatten(1).numpy())
    return np.concatenate(found)


PEERS = {"torch-fidelity": of_torch_fidelity, "pytorch-fid": of_pytorch_fid, "clean-fid": of_clean_fid}


def kept(work: Path, name: str, extract: Callable[[Images, Path], Array], batch: Images) -> Array:
    path = work / f"{name}-{len(batch)}.npy"
    if not path.is_file():
        print(f"extracting {path.stem}", flush=True)
        temporary = path.with_suffix(".part.npy")
        np.save(temporary, extract(batch, work))
        temporary.replace(path)
    return np.load(path)


def thin_frechet(x: Array, y: Array) -> float:
    """The distance from features themselves, in float64, without a root of a singular matrix."""
    (mean_x, thin_x), (mean_y, thin_y) = (
        (z.mean(axis=0), (z - z.mean(axis=0)) / np.sqrt(len(z) - 1)) for z in (x.astype(float), y.astype(float))
    )
    trace = np.linalg.svd(thin_x @ thin_y.T, compute_uv=False).sum()
    shift = mean_x - mean_y
    return float(shift @ shift + (thin_x**2).sum() + (thin_y**2).sum() - 2 * trace)


def their_numbers(peer: str, a: Array, b: Array) -> dict[str, float]:
    """The package's own functions give these."""
    moments = [(z.mean(axis=0), np.cov(z, rowvar=False)) for z in (a, b)]
    flat = (*moments[0], *moments[1])
    if peer == "pytorch-fid":
        from pytorch_fid.fid_score import calculate_frechet_distance

        return {"FID": float(calculate_frechet_distance(*flat))}
    if peer == "clean-fid":
        from cleanfid.fid import frechet_distance as theirs
        from cleanfid.fid import kernel_distance

        return {"FID": float(theirs(*flat)), "KID": float(kernel_distance(a, b, num_subsets=1, max_subset_size=len(a)))}
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
    from torch_fidelity.metric_prc import (
        KEY_METRIC_PRECISION,
        KEY_METRIC_RECALL,
        prc_features_to_metric,
    )

    x, y = torch.from_numpy(a), torch.from_numpy(b)
    fid = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), False)
    kid = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=len(a), verbose=False)
    prc = prc_features_to_metric(x, y, verbose=False)
    return {
        "FID": float(next(iter(fid.values()))),
        "KID": float(kid[KEY_METRIC_KID_MEAN]),
        "precision": float(prc[KEY_METRIC_PRECISION]),
        "recall": float(prc[KEY_METRIC_RECALL]),
    }


def our_numbers(a: Array, b: Array) -> dict[str, float]:
    return {
        "FID": frechet_distance(array_moments(a), array_moments(b)),
        "KID": float(kernel_distances(a, b, subsets=1, subset_size=len(a), rng=np.random.default_rng(0))[0]),
        "precision": precision(a, b),
        "recall": recall(a, b),
    }


def row(peer: str, ours: dict[str, Array], theirs: dict[str, Array]) -> None:
    largest = max(float(np.abs(ours[name] - theirs[name]).max()) for name in SETS)
    mine, its = our_numbers(*ours.values()), their_numbers(peer, *theirs.values())
    exact = {"FID": thin_frechet(*ours.values())}
    for metric, value in its.items():
        reference = f"{exact[metric]:.6f}" if metric in exact else ""
        print(
            f"| {peer} | {metric} | {mine[metric]:.6f} | {value:.6f} | {abs(mine[metric] / value - 1):.1e} | "
            f"{reference} | {largest:.1e} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", default=list(PEERS), help=", ".join(PEERS))
    parser.add_argument("--images", type=int, default=1000, help="a side, at most 4,034")
    parser.add_argument("--work", type=Path, required=True, help="folder that features are kept in")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    sets = images(arguments.images)
    rows = [
        (
            peer,
            {s: kept(arguments.work, f"ours-{peer}-{s}", of_ours(peer), sets[s]) for s in SETS},
            {s: kept(arguments.work, f"{peer}-{s}", PEERS[peer], sets[s]) for s in SETS},
        )
        for peer in arguments.peers
    ]
    print("| package | metric | ours | theirs | relative difference | thin factors | largest difference of features |")
    print("|---|---|---|---|---|---|---|")
    for peer, ours, theirs in rows:
        row(peer, ours, theirs)


if __name__ == "__main__":
    main()
