"""Names of rows: what is shown can be typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from dxbench.errors import UsageError
from dxbench.plugins.rows import RowName

KEYS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda key: key != "precision")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("dxmi", RowName(method="dxmi")),
        ("dxmi:pretrained", RowName(method="dxmi", preset="pretrained")),
        ("dxmi[tau=0.01]", RowName(method="dxmi", overrides={"tau": 0.01})),
        (
            "dxmi:pretrained[tau=0.01,iterations=5]@yours",
            RowName(method="dxmi", preset="pretrained", overrides={"tau": 0.01, "iterations": 5}, origin="yours"),
        ),
        (
            "edm[sigmas=[80, 0.8],sampler=heun]",
            RowName(method="edm", overrides={"sigmas": [80, 0.8], "sampler": "heun"}),
        ),
        ("ddpm[backbone.width=16]", RowName(method="ddpm", overrides={"backbone": {"width": 16}})),
        ('ddpm[backbone={"width": 16}]', RowName(method="ddpm", overrides={"backbone": {"width": 16}})),
        ("dxmi[precision=bf16]", RowName(method="dxmi", precision="bf16")),
        ("a/b.py:Mine:quick[tau=1]", RowName(method="a/b.py:Mine", preset="quick", overrides={"tau": 1})),
    ],
)
def test_a_name_is_read_as_its_row(text: str, row: RowName) -> None:
    assert RowName.parse(text) == row


def test_a_row_is_written_in_one_way_whatever_the_order_of_its_settings() -> None:
    one = RowName(method="dxmi", preset="pretrained", overrides={"tau": 0.01, "gamma": 1.0}, precision="fp16")
    other = RowName(method="dxmi", preset="pretrained", overrides={"gamma": 1.0, "tau": 0.01}, precision="fp16")
    assert str(one) == str(other) == "dxmi:pretrained[gamma=1.0,tau=0.01,precision=fp16]"


@given(st.dictionaries(KEYS, VALUES, max_size=3), st.sampled_from(["default", "quick"]), st.sampled_from(["", "yours"]))
def test_what_is_shown_can_be_typed(overrides: dict[str, JsonValue], preset: str, origin: str) -> None:
    row = RowName(method="dxmi", preset=preset, overrides=overrides, origin=origin)
    assert RowName.parse(str(row)) == row


@pytest.mark.parametrize("text", ["", ":quick", "dxmi[tau=1", "dxmi]", "dxmi:[tau=1]", "dxmi:quick:more", "dxmi@"])
def test_another_form_is_refused_with_the_right_one(text: str) -> None:
    with pytest.raises(UsageError, match=r"method:preset\[key=value"):
        RowName.parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("dxmi[tau]", "key=value"), ("dxmi[tau=1,tau=2]", "twice"), ("dxmi[precision=8]", "32, bf16, fp16")],
)
def test_settings_that_say_nothing_or_too_much_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        RowName.parse(text)
