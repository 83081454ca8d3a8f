"""Watch whether sampler and energy come to terms: the gap between the energies of samples and of data."""

from typing import Any


class GapWatch:
    """Means of |E[samples] - E[data]| over the first and the last tenth of training.

    At DxMI's equilibrium samples and data have one energy (arXiv:2407.00626, App. B: they "should converge"); a gap
    that does not shrink says that the energy tells samples from data by something the sampler cannot mend.
    """

    def __init__(self, iterations: int) -> None:
        self._window = max(iterations // 10, 1)
        self._iterations = iterations
        self._first = 0.0
        self._last = 0.0
        self._seen = 0

    def add(self, gap: float) -> None:
        """One iteration's E[samples] - E[data]."""
        if self._seen < self._window:
            self._first += abs(gap) / self._window
        if self._seen >= self._iterations - self._window:
            self._last += abs(gap) / self._window
        self._seen += 1

    def complaint(self) -> str | None:
        """The complaint at the end of training, or None."""
        if self._seen < self._iterations or self._last < self._first:
            return None
        return (
            f"the gap between the energies of samples and data did not shrink: {self._first:.4g} at first, "
            f"{self._last:.4g} at last; try a slower energy or a faster sampler"
        )

    def state_dict(self) -> dict[str, Any]:
        return {"first": self._first, "last": self._last, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first, self._last, self._seen = state["first"], state["last"], state["seen"]
