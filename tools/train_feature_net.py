"""Makes the weights of a shipped feature net: `python tools/train_feature_net.py digits` (half a minute on one core).

`fashion` takes ten minutes. Trained on the training split of the task with images moved by up to a pixel, noised and
rescaled, so that neighbouring images have neighbouring features; the last iterate is kept, whatever its validation
accuracy.
"""

import argparse
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Generator, Tensor
from torch.nn import functional

from dxbench.api.streams import derive_seed
from dxbench.features import classifiers
from dxbench.features.classifiers import Classifier, ShippedClassifier
from dxbench.features.digits_net import DIGITS_NET
from dxbench.features.fashion_net import FASHION_NET
from dxbench.tasks.digits_data import digits_splits
from dxbench.tasks.fashion_data import fashion_splits
from dxbench.tasks.image_data import to_floats

BATCH = 128
Split = tuple[Tensor, Tensor]
"""Images [n, 1, H, W] in [-1, 1] and their classes [n]."""


def digits() -> Mapping[str, Split]:
    """The splits of task `digits`."""
    return {
        name: (torch.from_numpy(split.images).float(), torch.from_numpy(split.labels))
        for name, split in digits_splits().items()
    }


def fashion() -> Mapping[str, Split]:
    """The splits of task `fashion_mnist`."""
    return {
        name: (torch.from_numpy(to_floats(split.images)), torch.from_numpy(split.labels))
        for name, split in fashion_splits().items()
    }


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The lesson of a net: its data, and how long it learns."""

    net: ShippedClassifier
    splits: Callable[[], Mapping[str, Split]]
    iterations: int
    seed: int


LESSONS = {
    "digits": Lesson(net=DIGITS_NET, splits=digits, iterations=2000, seed=derive_seed("digits@1", "feature net")),
    "fashion": Lesson(
        net=FASHION_NET, splits=fashion, iterations=5000, seed=derive_seed("fashion_mnist@1", "feature net")
    ),
}


def augmented(x: Tensor, generator: Generator) -> Tensor:
    """Images moved by at most one pixel in each direction (background -1), with noise of std 0.1."""
    padded = functional.pad(x, (1, 1, 1, 1), value=-1.0)
    windows = padded.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1).flatten(2, 3)
    chosen = windows[torch.arange(len(x)), :, torch.randint(9, (len(x),), generator=generator)]
    return chosen + 0.1 * torch.randn(x.shape, generator=generator)


def train(lesson: Lesson) -> Classifier:
    """The net after all iterations of Adam with cosine decay, weight decay 1e-2 and label smoothing 0.05."""
    torch.manual_seed(lesson.seed)
    torch.set_num_threads(1)
    generator = Generator().manual_seed(lesson.seed)
    images, labels = lesson.splits()["train"]
    net = lesson.net.build()
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, lesson.iterations)
    for _ in range(lesson.iterations):
        index = torch.randint(len(images), (BATCH,), generator=generator)
        logits = net(augmented(images[index], generator))
        optimiser.zero_grad()
        functional.cross_entropy(logits, labels[index], label_smoothing=0.05).backward()
        optimiser.step()
        decay.step()
    return net.eval()


def accuracy(net: Classifier, split: Split) -> float:
    """Share of the images of a split that are classified right."""
    images, labels = split
    with torch.no_grad():
        logits = torch.cat([net(part) for part in images.split(1000)])
    return float((logits.argmax(1) == labels).double().mean())


def main() -> None:
    """Train, write, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", choices=LESSONS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lesson = LESSONS[arguments.subject]
    path = arguments.out or Path(classifiers.__file__).with_name(lesson.net.file)
    net = train(lesson)
    data = save(net.state_dict())
    path.write_bytes(data)
    print(f"{path}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    for name, split in lesson.splits().items():
        print(f"{name} accuracy {accuracy(net, split):.4f}")


if __name__ == "__main__":
    main()
