"""Makes dxbench/features/digits_net.safetensors: `python tools/train_digits_net.py` (half a minute on one core).

Trained on the training split of task `digits` with images moved by up to a pixel, noised and rescaled, so that
neighbouring images have neighbouring features; the last iterate is kept, whatever its validation accuracy.
"""

import argparse
import hashlib
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Generator, Tensor
from torch.nn import functional

from dxbench.api.streams import derive_seed
from dxbench.features import digits_net
from dxbench.tasks.digits_data import digits_splits

ITERATIONS, BATCH = 2000, 128
SEED = derive_seed("digits@1", "feature net")


def augmented(x: Tensor, generator: Generator) -> Tensor:
    """Images moved by at most one pixel in each direction (background -1), with noise of std 0.1."""
    padded = functional.pad(x, (1, 1, 1, 1), value=-1.0)
    windows = padded.unfold(2, 8, 1).unfold(3, 8, 1).flatten(2, 3)
    chosen = windows[torch.arange(len(x)), :, torch.randint(9, (len(x),), generator=generator)]
    return chosen + 0.1 * torch.randn(x.shape, generator=generator)


def train() -> digits_net.DigitsNet:
    """The net after `ITERATIONS` of Adam with cosine decay, weight decay 1e-2 and label smoothing 0.05."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    generator = Generator().manual_seed(SEED)
    split = digits_splits()["train"]
    images, labels = torch.from_numpy(split.images).float(), torch.from_numpy(split.labels)
    net = digits_net.DigitsNet()
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, ITERATIONS)
    for _ in range(ITERATIONS):
        index = torch.randint(len(images), (BATCH,), generator=generator)
        logits = net(augmented(images[index], generator))
        optimiser.zero_grad()
        functional.cross_entropy(logits, labels[index], label_smoothing=0.05).backward()
        optimiser.step()
        decay.step()
    return net.eval()


def accuracy(net: digits_net.DigitsNet, split: str) -> float:
    """Share of the images of a split that are classified right."""
    part = digits_splits()[split]
    with torch.no_grad():
        logits = net(torch.from_numpy(part.images).float())
    return float((logits.argmax(1).numpy() == part.labels).mean())


def main() -> None:
    """Train, write, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(digits_net.__file__).with_name(digits_net.WEIGHTS))
    path = parser.parse_args().out
    net = train()
    data = save(net.state_dict())
    path.write_bytes(data)
    print(f"{path}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    for split in ("train", "validation", "test"):
        print(f"{split} accuracy {accuracy(net, split):.4f}")


if __name__ == "__main__":
    main()
