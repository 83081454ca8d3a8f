"""Tiles: what their frames show, and that a file is a tile of these scores or none."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dxbench.errors import InvalidFile
from dxbench.pictures import STAGES, image_tiles, localisation_tiles, plane_tiles, read_tile, stages, stored

RNG = np.random.default_rng(0)


def pixels(png: bytes, mode: str = "L") -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert(mode))


@pytest.mark.parametrize(("steps", "shown"), [(1, [0, 0, 0, 0, 0, 1]), (2, [0, 0, 0, 1, 1, 2]), (5, [*range(6)])])
def test_a_stage_is_what_was_reached_when_its_share_of_the_steps_was_made(steps: int, shown: list[int]) -> None:
    assert stages(np.arange(steps + 1)).tolist() == shown


@given(st.integers(1, 1000))
def test_stages_go_from_the_first_state_to_the_last(steps: int) -> None:
    found = stages(np.arange(steps + 1)).tolist()
    assert (found[0], found[-1], len(found)) == (0, steps, STAGES)
    assert found == sorted(found)


def test_images_stand_in_the_places_of_their_seeds_and_the_last_frame_is_the_samples() -> None:
    chain = np.full((3, 16, 1, 8, 8), -1.0)
    chain[-1, 3] = 1.0
    (tile,) = image_tiles({"samples": chain[-1], "chain": chain})
    sheet = pixels(tile.png)
    assert (tile.name, tile.frames, sheet.shape) == ("samples", STAGES, (STAGES * tile.height, tile.width))
    last = sheet[-tile.height :]
    side = tile.width // 8
    assert last[side // 2, 3 * side + side // 2] == 255
    assert last.astype(bool).sum() == (side - 2) ** 2
    assert not sheet[: -tile.height].any()


def test_noise_is_shown_at_the_spread_of_the_samples() -> None:
    samples = RNG.uniform(-0.1, 0.1, size=(16, 1, 8, 8))
    (tile,) = image_tiles({"samples": samples, "chain": np.stack([80 * samples, samples])})
    sheet = pixels(tile.png)
    np.testing.assert_allclose(sheet[: tile.height].std(), sheet[-tile.height :].std(), rtol=0.2)


def test_points_are_ink_on_nothing_where_they_lie() -> None:
    (tile,) = plane_tiles({"samples": np.full((10, 2), 3.0), "test": np.zeros((1, 2))}, box=(-4, 4))
    alpha = pixels(tile.png, "RGBA")[..., 3]
    rows, columns = alpha.nonzero()
    assert rows.max() < tile.height / 4 < tile.height * 3 / 4 < columns.min()
    assert (alpha == 0).mean() > 0.99


def test_an_energy_is_dark_where_it_is_low_and_steps_through_the_values() -> None:
    energy = np.full((20, 20), 30.0)
    energy[15, 15] = 0.0
    arrays = {"energy": energy, "values": np.stack([energy[::-1], energy])}
    (tile,) = plane_tiles(arrays, box=(-4, 4))
    sheet = pixels(tile.png)
    last = sheet[-tile.height :]
    assert tile.frames == STAGES
    assert last[tile.height // 5, tile.width * 31 // 40] < last[-1, 0]


def test_maps_hold_nothing_of_the_images() -> None:
    maps = RNG.normal(size=(3, 7, 7))
    arrays = {"screw/shown_maps": maps, "screw/energies": maps}
    plain = localisation_tiles(arrays)
    with_images = localisation_tiles(arrays | {"screw/shown_images": np.full((3, 64, 64, 3), 255, np.uint8)})
    assert [one.png for one in plain] == [one.png for one in with_images]
    assert localisation_tiles({"screw/scores": np.zeros(3)}) == []


def test_a_model_without_samples_has_no_tile() -> None:
    assert image_tiles({"test": np.zeros((4, 1, 8, 8))}) == []
    assert plane_tiles({"test": np.zeros((4, 2))}, box=(-1, 1)) == []


def test_a_tile_is_read_as_it_was_stored_and_not_for_other_scores() -> None:
    (tile,) = plane_tiles({"samples": RNG.normal(size=(50, 2)), "test": np.zeros((1, 2))}, box=(-4, 4))
    file = stored(tile, of="abc")
    read = read_tile("samples", file, of="abc")
    assert read is not None
    assert (read.width, read.height, read.frames, read.caption) == (tile.width, tile.height, tile.frames, tile.caption)
    np.testing.assert_array_equal(pixels(read.png, "RGBA"), pixels(tile.png, "RGBA"))
    assert read_tile("samples", file, of="other") is None


def sized(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height)).save(out, format="png")
    return out.getvalue()


@pytest.mark.parametrize(
    "file", [b"", b"nonsense", b"\x89PNG\r\n\x1a\n", sized(10, 10), sized(5_000, 5_000), b"<svg/>"]
)
def test_what_is_no_tile_is_refused(file: bytes) -> None:
    with pytest.raises(InvalidFile, match="not a tile"):
        read_tile("samples", file, of="abc")


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_tile_is_a_tile_or_refused(data: st.DataObject) -> None:
    (tile,) = plane_tiles({"samples": np.zeros((5, 2)), "test": np.zeros((1, 2))}, box=(-4, 4))
    file = bytearray(stored(tile, of="abc"))
    for at in data.draw(st.lists(st.integers(0, len(file) - 1), min_size=1, max_size=5)):
        file[at] = data.draw(st.integers(0, 255))
    found = None
    with contextlib.suppress(InvalidFile):
        found = read_tile("samples", bytes(file), of="abc")
    if found is not None:  # of other scores, by a damaged name of theirs
        assert (found.width, found.height * found.frames) == Image.open(io.BytesIO(file)).size
        assert 0 < found.frames <= STAGES
        assert found.png == bytes(file)
