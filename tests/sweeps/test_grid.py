"""Grids as typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxbench.errors import UsageError
from dxbench.sweeps import grid


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x", ["x"]),
        ("x, y:quick", ["x", "y:quick"]),
        ("x,y[tau=0.01|0.1|1]", ["x", "y[tau=0.01]", "y[tau=0.1]", "y[tau=1]"]),
        ("y[T=4|10,tau=1|2]", ["y[T=4,tau=1]", "y[T=4,tau=2]", "y[T=10,tau=1]", "y[T=10,tau=2]"]),
        ('y[name="a|b,c"|d]', ['y[name="a|b,c"]', "y[name=d]"]),
        ("y[betas=[0.5,0.9]|[0,0.9]]", ["y[betas=[0.5, 0.9]]", "y[betas=[0, 0.9]]"]),
        ('y[net={"kind":"mlp","width":1}|{"kind":"conv"}],x', None),
        ("y[precision=bf16|32]", ["y[precision=bf16]", "y"]),
        ("my/file.py:Mine:quick[a=1|2]", ["my/file.py:Mine:quick[a=1]", "my/file.py:Mine:quick[a=2]"]),
    ],
)
def test_rows_and_their_alternatives(text: str, shown: list[str] | None) -> None:
    rows = [str(row) for row in grid.rows(text)]
    assert rows == (shown or rows)
    assert len(rows) == len(shown or [1, 2, 3])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,,y", "an empty name"),
        ("x,x", "names x twice"),
        ("x[a=1|1]", "names x[a=1] twice"),
        ("x[a=1,a=2]", "--set a is given twice"),
        ("", "an empty name"),
        ("x[a=1", "cannot read"),
        ("x[a]", "key=value"),
    ],
)
def test_what_is_no_grid_says_why(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("[", r"\[")):
        grid.rows(text)


@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True), max_size=4))
def test_settings_are_every_combination_once(values: list[list[int]]) -> None:
    typed = [f"k{n}={'|'.join(map(str, one))}" for n, one in enumerate(values)]
    found = grid.settings(typed)
    count = 1
    for one in values:
        count *= len(one)
    assert len(found) == len({tuple(one) for one in found}) == count
