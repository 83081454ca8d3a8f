"""Points between training points."""

import torch

from dxmi.geometry.interpolation import NeighbourInterpolation
from dxmi.geometry.sphere import project


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters() -> torch.Tensor:
    """Five points about each of eight axes; the nearest four of each are of its own cluster."""
    axes = torch.eye(8).repeat_interleave(5, dim=0)
    return project(axes + 0.05 * torch.randn(40, 8, generator=generator(1)))


def test_points_lie_on_the_sphere_on_the_arc_to_a_near_one_and_within_the_share() -> None:
    points = clusters()
    rows = torch.arange(40).repeat(50)
    drawn = NeighbourInterpolation(points, share=0.5, neighbours=4).draw(rows, generator())
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(len(rows)))
    start = points[rows]
    own = points.view(8, 5, 8)[rows // 5]
    # On an arc the angles to both ends add up to the arc itself.
    angles = torch.einsum("nd,nkd->nk", drawn.double(), own.double()).clamp(-1, 1).acos()
    arcs = torch.einsum("nd,nkd->nk", start.double(), own.double()).clamp(-1, 1).acos()
    moved = (start.double() * drawn.double()).sum(1).clamp(-1, 1).acos()
    excess = (moved[:, None] + angles - arcs).masked_fill(arcs < 1e-3, 1.0).abs()
    best = excess.min(dim=1)
    assert float(best.values.max()) < 1e-3
    arc = arcs.gather(1, best.indices[:, None]).squeeze(1)
    assert float((moved / arc).max()) < 0.51
    assert float((moved / arc).min()) < 0.02
    assert len(torch.unique(torch.stack([rows, best.indices]), dim=1).T) == 40 * 4  # every neighbour is chosen


def test_a_share_of_nothing_is_the_points_themselves_and_draws_no_noise() -> None:
    points, noise = clusters(), generator()
    before = noise.get_state()
    rows = torch.tensor([3, 3, 17])
    assert torch.equal(NeighbourInterpolation(points, share=0.0, neighbours=5).draw(rows, noise), points[rows])
    assert torch.equal(noise.get_state(), before)


def test_of_two_points_each_moves_to_the_other() -> None:
    points = torch.eye(2)
    drawn = NeighbourInterpolation(points, share=1.0, neighbours=5).draw(
        torch.zeros(100, dtype=torch.long), generator()
    )
    assert float(drawn.min()) > 0
    assert float(drawn[:, 1].max()) > 0.98
