"""An autoencoder whose latent and output lie on unit spheres; its reconstruction error is an energy."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from dxmi.arrays import PerSample, Points
from dxmi.geometry.sphere import project
from dxmi.nets.mlp import StepMLP, Unconditional


class SphereAutoencoder(nn.Module):
    """E(x) = scale |x - decode(encode(x))|^2 on the sphere (DxMI section 5.3, App. C.3; 1 / scale is VGS's tau_E).

    The latent lies on a sphere too, so that noise of a fixed size moves it by a fixed angle (MPDR, arXiv:2310.18677).
    """

    scale: Tensor

    def __init__(
        self, *, dim: int, latent: int, hidden: int, depth: int, scale: float = 1.0, generator: Generator
    ) -> None:
        super().__init__()

        def mlp(dim_in: int, dim_out: int) -> Unconditional:
            return Unconditional(
                StepMLP(dim_in=dim_in, dim_out=dim_out, num_levels=1, hidden=hidden, depth=depth, generator=generator)
            )

        self.encoder, self.decoder = mlp(dim, latent), mlp(latent, dim)
        self.register_buffer("scale", torch.tensor(float(scale)))

    def encode(self, x: Float[Tensor, " b dim"]) -> Float[Tensor, " b latent"]:
        return project(self.encoder(x))

    def decode(self, z: Float[Tensor, " b latent"]) -> Float[Tensor, " b dim"]:
        return project(self.decoder(z))

    def forward(self, x: Points) -> Float[Tensor, " b 1"]:
        return self.scale * (x - self.decode(self.encode(x))).square().sum(dim=1, keepdim=True)

    @torch.no_grad()
    def rescale(self, points: Points, *, mean: float, at_most: float) -> None:
        """Set the scale so that the mean energy of points is `mean`, or to `at_most` where their errors vanish."""
        self.scale.fill_((mean * self.scale / self(points).mean()).clamp(max=at_most))

    def perturbed_code(
        self, x: Points, *, std: PerSample, eps: Float[Tensor, " b latent"]
    ) -> Float[Tensor, " b latent"]:
        """The latent code of x moved by std eps, back on the latent sphere (MPDR Eq. 7)."""
        return project(self.encode(x) + std[:, None] * eps)

    def perturbed(self, x: Points, *, std: PerSample, eps: Float[Tensor, " b latent"]) -> Points:
        """x with its latent code perturbed, decoded."""
        return self.decode(self.perturbed_code(x, std=std, eps=eps))
