"""The official backbones as configurations of `UNet`, and the generator of DDGAN.

Parameter counts: DDPM 35,746,307; DDPM++ 55,733,891; NCSN++ 56,397,827; ADM 295,899,267 (ImageNet 64x64, also the
consistency models') and 526,304,771 (LSUN 256x256); DDGAN's generator 48,432,515. Official weights come in through
`dxmi.checkpoints`.
"""

import math
from dataclasses import replace

from dxmi.nets.embeddings import ADMSinusoid, DDPMSinusoid, FourierFeatures
from dxmi.nets.layers import ADM_INITIALISER, DDPM_INITIALISER
from dxmi.nets.resampling import BINOMIAL, BOX
from dxmi.nets.unet_config import UNetConfig

# Ho et al. 2020, arXiv:2006.11239, section B; time is the step 0 .. 999.
DDPM_CIFAR10 = UNetConfig(
    width=128,
    multipliers=(1, 2, 2, 2),
    blocks_per_level=2,
    attention_levels=(1,),
    features=DDPMSinusoid,
    law=DDPM_INITIALISER,
    eps=1e-6,
    filter=None,
)

# Song et al. 2021, arXiv:2011.13456, as trained by Karras et al. 2022 (arXiv:2206.00364); time is log(sigma) / 4.
DDPMPP_CIFAR10 = UNetConfig(
    width=128,
    multipliers=(2, 2, 2),
    blocks_per_level=4,
    attention_levels=(1,),
    features=DDPMSinusoid,
    law=DDPM_INITIALISER,
    eps=1e-6,
    filter=BOX,
    project_resampled=True,
    attend_once_going_up=True,
    residual_scale=math.sqrt(0.5),
    augment_channels=9,
)
NCSNPP_CIFAR10 = replace(DDPMPP_CIFAR10, features=FourierFeatures, feature_multiplier=2, filter=BINOMIAL, pyramid=True)

# Dhariwal and Nichol 2021, arXiv:2105.05233; time is log(sigma) / 4 in EDM, 250 log(sigma) in consistency models.
ADM_IMAGENET64 = UNetConfig(
    width=192,
    multipliers=(1, 2, 3, 4),
    blocks_per_level=3,
    attention_levels=(1, 2, 3),
    features=ADMSinusoid,
    law=ADM_INITIALISER,
    eps=1e-5,
    filter=BOX,
    head_channels=64,
    scale_shift=True,
    num_classes=1000,
)
ADM_LSUN256 = replace(
    ADM_IMAGENET64,
    width=256,
    multipliers=(1, 1, 2, 2, 4, 4),
    blocks_per_level=2,
    attention_levels=(3, 4, 5),
    scale_shift=False,
    num_classes=0,
)

# Xiao et al. 2022, arXiv:2112.07804: NCSN++ with time as a step and every normalisation styled by a latent.
DDGAN_CIFAR10 = replace(
    NCSNPP_CIFAR10,
    multipliers=(1, 2, 2, 2),
    blocks_per_level=2,
    features=DDPMSinusoid,
    feature_multiplier=1,
    augment_channels=0,
    style_channels=256,
)
