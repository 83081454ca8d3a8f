import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from dxbench.metrics.images.inception import inception_scores, sorted_by_class
from dxbench.metrics.images.kernel import cubic_mmd2, kernel_distances


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class TestKernelDistance:
    def test_equals_torch_fidelity(self) -> None:
        x, y = rng(0).standard_normal((60, 9)), 1.2 * rng(1).standard_normal((60, 9)) + 0.3
        theirs = kid_features_to_metric(
            torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=60, verbose=False
        )["kernel_inception_distance_mean"]
        assert cubic_mmd2(x, y) == pytest.approx(theirs, rel=1e-6)

    def test_is_unbiased(self) -> None:
        """Draws of one law average to 0 within 5 standard errors, at every size of set."""
        for n in (3, 20):
            values = [
                cubic_mmd2(rng(i).standard_normal((n, 4)), rng(i + 1000).standard_normal((n, 4))) for i in range(400)
            ]
            assert abs(np.mean(values)) < 5 * np.std(values) / 20
            assert min(values) < 0

    def test_is_the_kernel_sum_written_out(self) -> None:
        x, y = rng(0).standard_normal((4, 3)), rng(1).standard_normal((5, 3))
        k = lambda a, b: (a @ b / 3 + 1) ** 3  # noqa: E731
        within = [np.mean([k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (x, y)]
        assert cubic_mmd2(x, y) == pytest.approx(sum(within) - 2 * np.mean([k(a, b) for a in x for b in y]))

    def test_the_same_stream_gives_the_same_subsets_and_another_gives_others(self) -> None:
        x, y = rng(0).standard_normal((50, 4)), rng(1).standard_normal((80, 4))
        draw = lambda seed: kernel_distances(x, y, subsets=5, subset_size=20, rng=rng(seed))  # noqa: E731
        np.random.seed(7)  # noqa: NPY002
        first = draw(3)
        assert np.array_equal(draw(3), first)
        assert not np.isclose(draw(4), first).any()

    def test_subsets_of_everything_are_the_whole(self) -> None:
        x, y = rng(0).standard_normal((30, 4)), rng(1).standard_normal((30, 4))
        got = kernel_distances(x, y, subsets=2, subset_size=30, rng=rng(0))
        np.testing.assert_allclose(got, cubic_mmd2(x, y), rtol=1e-9)

    def test_refuses_too_few(self) -> None:
        x = rng().standard_normal((30, 4))
        with pytest.raises(ValueError, match="at least 31"):
            kernel_distances(x, x, subsets=2, subset_size=31, rng=rng())
        with pytest.raises(ValueError, match="at least 2"):
            cubic_mmd2(x[:1], x)


class TestInceptionScore:
    def test_equals_torch_fidelity_on_unshuffled_blocks(self) -> None:
        logits = 3 * rng().standard_normal((200, 11))
        theirs = isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=False)
        got = inception_scores(logits, splits=10)
        assert got.mean() == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
        assert got.std() == pytest.approx(theirs["inception_score_std"], rel=1e-6)

    def test_certain_predictions_of_every_class_score_the_number_of_classes(self) -> None:
        logits = 200.0 * np.eye(7)[np.arange(70) % 7]
        np.testing.assert_allclose(inception_scores(logits, splits=10), 7.0)

    def test_equal_predictions_score_one(self) -> None:
        np.testing.assert_allclose(inception_scores(np.tile(rng().standard_normal(7), (20, 1)), splits=2), 1.0)

    def test_blocks_are_sequential(self) -> None:
        """Sorted by class, every block knows one class only: that scores 1 where shuffled it scores 5."""
        labels = np.repeat(np.arange(5), 20)
        logits = 50.0 * np.eye(5)[labels]
        np.testing.assert_allclose(inception_scores(logits, splits=5), 1.0)
        assert sorted_by_class(logits)
        shuffled = rng().permutation(logits)
        assert inception_scores(shuffled, splits=5).mean() > 4.0
        assert not sorted_by_class(shuffled)

    @pytest.mark.parametrize("n", [0, 19, 21])
    def test_refuses_blocks_that_do_not_come_out_even(self, n: int) -> None:
        with pytest.raises(ValueError, match="equal blocks"):
            inception_scores(np.zeros((n, 3)), splits=20)
