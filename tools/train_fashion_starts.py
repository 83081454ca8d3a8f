"""Makes the starts that task `fashion_mnist` ships: `python tools/train_fashion_starts.py ddpm`, and `edm`.

Each takes more than an hour of one core. The network is compiled, and its products are of bfloat16, with
weights and averages in float32. An interrupted training goes on from its last checkpoint when started again. The
averaged weights are kept as float16, 3 MB each, and are scored as they are kept. The training split is all they see.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from dxbench_baselines.starts import GARMENT_DDPM, GARMENT_EDM
from safetensors.torch import save
from torch import Generator, Tensor

from dxbench.api.streams import derive_seed
from dxbench.tasks.fashion_data import SIZE, fashion_splits
from dxbench.tasks.image_data import to_floats
from dxmi.sampling.noise import StreamNoise
from dxmi.training.denoising import DenoiserTraining

STARTS = {"ddpm": GARMENT_DDPM, "edm": GARMENT_EDM}
SHAPE = (1, SIZE, SIZE)
KEPT_EVERY = 250


class StartTraining:
    """The pretraining of one start, with all that goes on from a checkpoint."""

    def __init__(self, kind: str) -> None:
        network, plan = STARTS[kind].network, STARTS[kind].pretraining

        def seed(part: str) -> int:
            return derive_seed("fashion_mnist starts@1", kind, part)

        images = fashion_splits()["train"].images
        self.rows = np.random.default_rng(seed("data"))
        self.noise = Generator().manual_seed(seed("noise"))
        net = network.network(SHAPE, Generator().manual_seed(seed("init"))).to(memory_format=torch.channels_last)
        self.training = DenoiserTraining(
            net,
            network.loss(),
            data=lambda: torch.from_numpy(to_floats(images[self.rows.integers(len(images), size=plan.batch_size)])),
            noise=StreamNoise(batch_size=plan.batch_size, event_shape=SHAPE, generator=self.noise),
            iterations=plan.iterations,
            lr=plan.lr,
            ema_decay=plan.ema_decay,
            max_grad_norm=plan.max_grad_norm,
        )
        self.training.net = torch.compile(net)

    def save(self, path: Path) -> None:
        rows = json.dumps(self.rows.bit_generator.state)
        part = path.with_name(f"{path.name}.part")
        torch.save({"training": self.training.state_dict(), "rows": rows, "noise": self.noise.get_state()}, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.training.load_state_dict(state["training"])
        self.rows.bit_generator.state = json.loads(state["rows"])
        self.noise.set_state(state["noise"])

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights as they are kept."""
        return {name: tensor.half().contiguous() for name, tensor in self.training.average.state_dict().items()}


def main() -> None:
    """Train, write, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=STARTS)
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the weights and of the checkpoint")
    args = parser.parse_args()
    torch.set_num_threads(1)
    start, kept = StartTraining(args.kind), args.out / f"fashion_mnist_{args.kind}.checkpoint"
    if kept.exists():
        start.load(kept)
    training, losses, begun = start.training, [], time.monotonic()
    while not training.finished:
        losses.append(training.step())
        if training.done % KEPT_EVERY == 0:
            loss, seconds = float(torch.stack(losses).mean()), time.monotonic() - begun
            print(f"{training.done:,} of {training.iterations:,}: loss {loss:.4f}, {seconds:,.0f} s", flush=True)
            losses.clear()
            start.save(kept)
    data, path = save(start.weights()), args.out / f"fashion_mnist_{args.kind}.safetensors"
    path.write_bytes(data)
    print(f"{path}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
