"""Which rows of a column are the best, and which cannot be told apart."""

from collections.abc import Mapping, Sequence

from dxbench.boards.aggregate import Row

ALPHA = 0.05
"""Family-wise error of the tests behind one tie group."""


def ranks(rows: Sequence[Row], metric: str) -> Mapping[int, int]:
    """Rank of each row that ranks, by its index; rows that share a rank cannot be separated.

    From the best mean down: a row opens a tie group, and those after it join until the first that a paired t test
    over the common seeds, Holm-adjusted over all rows from the opening one on, separates from the opening row.
    A rank is one more than the number of rows in better groups. Rows measure by one protocol.
    """
    indices = [i for i, row in enumerate(rows) if row.ranks and metric in row.scores]
    if not indices or rows[indices[0]].scores[metric].better == "none":
        return {}
    import numpy as np

    from dxbench.stats import holm, paired_p_values

    summaries = {i: rows[i].scores[metric] for i in indices}
    sign = 1 if summaries[indices[0]].better == "lower" else -1
    indices.sort(key=lambda i: sign * summaries[i].value)
    seeds = sorted({seed for summary in summaries.values() for seed in summary.by_seed})
    values = np.array([[summaries[i].by_seed.get(seed, np.nan) for seed in seeds] for i in indices])
    found: dict[int, int] = {}
    while len(found) < len(indices):
        first = len(found)
        adjusted = holm(paired_p_values(values[first], values[first + 1 :]).tolist())
        separated = next((n for n, p in enumerate(adjusted) if p < ALPHA), len(adjusted))
        for index in indices[first : first + 1 + separated]:
            found[index] = first + 1
    return found
