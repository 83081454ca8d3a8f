"""The Inception of 2015 behind FID, as ported from TensorFlow; one file of weights, three ways to prepare pixels.

The network is torch-fidelity's, whose poolings are those of the TensorFlow graph. ADM's evaluator reads `pool_3`,
the first 7 channels of `mixed_6/conv` (Mixed_6d.branch1x1 here) and the softmax without its bias. EDM's evaluator
runs the same graph with the same resize, so the `edm` protocol reads the same features.
"""

import io
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from dxbench.assets.catalogue import INCEPTION_2015, INCEPTION_TRUNK
from dxbench.assets.inception import TRUNK, TRUNK_DIGEST
from dxbench.features.extractor import KnownTensors, NetworkExtractor, StateDict
from dxbench.features.resizing import pil_bicubic, tensorflow1, torch_bilinear
from dxbench.metrics.images.features import FeatureKind

BLOCKS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)
SPATIAL_CHANNELS = 7
CLASSIFIER = "fc.weight"
LACKING = (
    f"needs the classifier of the network, which {INCEPTION_TRUNK.name} lacks; put "
    f"{INCEPTION_2015.path.rpartition('/')[2]} of {INCEPTION_2015.urls[0]} into weights/ under DXBENCH_DATA"
)

Pixels = Callable[[Tensor], Tensor]
"""[b, 3, H, W] pixels to pixels."""


class Inception(nn.Module):
    """Images to pool3 [b, 2048], spatial [b, 2023] and, with a classifier, logits without bias [b, 1008]."""

    def __init__(self, state: StateDict, *, resize: Pixels, normalise: Pixels) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self._classifies = CLASSIFIER in state
        # torch-fidelity unpickles the weights it is given, so it is given a copy written here, of tensors alone; and it
        # wants a classifier.
        copy = io.BytesIO()
        torch.save({CLASSIFIER: torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008), **state}, copy)
        copy.seek(0)
        self.net = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=copy)
        self._resize = resize
        self._normalise = normalise
        self._spatial: Tensor | None = None
        self.net.Mixed_6d.branch1x1.register_forward_hook(self._keep_spatial)

    def _keep_spatial(self, module: nn.Module, args: object, output: Tensor) -> None:
        self._spatial = output[:, :SPATIAL_CHANNELS]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self._normalise(self._resize(images)).contiguous(memory_format=torch.channels_last)
        for block in BLOCKS:
            x = getattr(self.net, block)(x)
        pool3 = x.mean(dim=(2, 3))
        assert self._spatial is not None
        # Channels last, as TensorFlow flattens; statistics of ADM are in this order.
        spatial = self._spatial.permute(0, 2, 3, 1).flatten(1)
        features = {"pool3": pool3, "spatial": spatial}
        return features | {"logits": pool3 @ self.net.fc.weight.T} if self._classifies else features


def tensorflow_range(x: Tensor) -> Tensor:
    """[0, 255] to [-1, 1) as the graph has it."""
    return (x - 128.0) / 128.0


def torch_range(x: Tensor) -> Tensor:
    """[0, 255] to [-1, 1]."""
    return x / 127.5 - 1.0


def inception(
    name: str, *, suffix: str, resize: Pixels, normalise: Pixels, resize_text: str, normalise_text: str
) -> NetworkExtractor:
    """The Inception of 2015 behind one way to prepare pixels."""
    return NetworkExtractor(
        name=name,
        kinds={
            "pool3": FeatureKind(dim=2048, frechet=f"fid{suffix}", kernel=f"kid{suffix}"),
            "spatial": FeatureKind(dim=17 * 17 * SPATIAL_CHANNELS, frechet=f"sfid{suffix}", kernel=f"skid{suffix}"),
            "logits": FeatureKind(
                dim=1008,
                fields={"classifier_sha256": INCEPTION_2015.sha256, "logits": "without bias"},
                lacking=LACKING,
            ),
        },
        weights=INCEPTION_2015,
        build=partial(Inception, resize=resize, normalise=normalise),
        image_shape=(None, None, 3),
        preprocessing={"resize": resize_text, "normalisation": normalise_text},
        tensors=KnownTensors(names=TRUNK, digest=TRUNK_DIGEST),
    )


INCEPTION_TENSORFLOW = inception(
    "inception-2015-tensorflow",
    suffix="",
    resize=tensorflow1,
    normalise=tensorflow_range,
    normalise_text="(x - 128) / 128",
    resize_text="299 x 299, bilinear of TensorFlow 1 (no half-pixel centres, no antialiasing)",
)
INCEPTION_TORCH = inception(
    "inception-2015-torch",
    suffix="_pytorch",
    resize=torch_bilinear,
    normalise=torch_range,
    normalise_text="2 (x / 255) - 1",
    resize_text="299 x 299, bilinear of torch (align_corners=False, no antialiasing)",
)
INCEPTION_CLEAN = inception(
    "inception-2015-clean",
    suffix="_clean",
    resize=pil_bicubic,
    normalise=tensorflow_range,
    normalise_text="(x - 128) / 128",
    resize_text="299 x 299, bicubic of PIL on float channels, antialiased, clipped to [0, 255]",
)
