"""The page of claims: what our runs say of the numbers of papers."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from dxbench.boards.claims import Claim, Verdict
from dxbench.boards.render.cells import number
from dxbench.boards.site.names import task_page
from dxbench.boards.site.rendering import render


def claims_text(claims: Sequence[Claim]) -> str:
    """The page, one table per table of a paper."""
    counts = Counter(claim.verdict for claim in claims)
    tables = [list(group) for _, group in groupby(claims, key=lambda claim: (claim.source.key, claim.table))]
    return render(
        "claims",
        depth=0,
        title="Claims",
        counts={verdict: counts[verdict] for verdict in Verdict if counts[verdict]},
        groups=[
            (
                f"{table[0].source.key}, {table[0].table}",
                table[0].source,
                [claim for claim in table if claim.verdict != Verdict.NOT_RUN],
                [claim for claim in table if claim.verdict == Verdict.NOT_RUN],
            )
            for table in tables
        ],
        pages={claim.task: task_page(claim.task) for claim in claims},
        number=number,
    )
