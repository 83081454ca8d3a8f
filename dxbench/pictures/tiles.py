"""Tiles: small pictures without words, which pages set side by side and step through."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile, PngInfo

from dxbench.api import Tile
from dxbench.errors import InvalidFile

Array = NDArray[np.float64]
Bytes = NDArray[np.uint8]

STAGES = 6
"""States of a chain that are shown, from noise to sample at equal shares of its steps."""
POINTS = 2_000
"""Points of a scatter."""
TILE_LIMIT = 2**18
"""Bytes of a tile's file."""
_SIDE = 160
_WIDTH, _COLUMNS, _LINES, _IMAGE = 320, 8, 2, 40
_COLOURS = 64
_INK = (66, 133, 196)  # seen on white and on black
_DENSITIES = 8
_TOP = 12.0
"""Nats above the minimum at which pictures of energies are cut."""
_SAMPLES = "Samples of equal seeds in equal places, the first of all and not picked."


def stages(states: NDArray[Any]) -> NDArray[Any]:
    """States [STAGES, ...] of [K + 1, ...]: what had been reached when each share of the K steps was made."""
    shares = np.linspace(0, 1, STAGES) * (len(states) - 1)
    return states[np.floor(shares + 1e-9).astype(int)]


def plane_tiles(arrays: Mapping[str, Array], *, box: tuple[float, float]) -> list[Tile]:
    """Samples and energy in the plane.

    Reads, where present: `samples` [n, 2], `chain` [STAGES, n, 2], `energy` [g, g] in nats above the minimum, and
    `values` [K + 1, g, g], of which the last is the energy.
    """
    found = []
    if "samples" in arrays:
        points = arrays["chain"] if "chain" in arrays else arrays["samples"][None, :POINTS]
        found.append(_tile("samples", _scatters(points, box), frames=len(points), caption=_SAMPLES))
    if "energy" in arrays:
        low = arrays["energy"] - arrays["energy"].min()
        maps = [np.clip(low / _TOP, 0, 1)]
        caption = f"Learned energy, dark = low = likely, cut at {_TOP:g} nats."
        if "values" in arrays:
            maps = [*(_between(one, *np.percentile(one, [1, 90])) for one in stages(arrays["values"])[:-1]), *maps]
            caption += " Before the last step: the value of a state, dark = low = good."
        sheet = np.concatenate([_resized(one.T[::-1], _SIDE) for one in maps])
        found.append(_tile("energy", _coloured(_heat(sheet)), frames=len(maps), caption=caption))
    return found


def image_tiles(arrays: Mapping[str, Array]) -> list[Tile]:
    """Samples as images in [-1, 1]: `chain` [K + 1, b, c, h, w], or `samples` [n, c, h, w] of a model without."""
    if "samples" not in arrays:
        return []
    states = stages(arrays["chain"]) if "chain" in arrays else arrays["samples"][None, : _COLUMNS * _LINES]
    states = states.astype(np.float64)
    spread = states[-1].std()
    sheets = [_strip(state / max(1.0, state.std() / spread)) if spread else _strip(state) for state in states]
    return [_tile("samples", _coloured(np.concatenate(sheets)), frames=len(sheets), caption=_SAMPLES)]


def localisation_tiles(arrays: Mapping[str, NDArray[Any]]) -> list[Tile]:
    """Anomaly maps of the first group that keeps `<group>/shown_maps` and `energies`.

    Without the images, which are not ours to hand on: a tile may be published where a data set may not.
    """
    name = next((key.rpartition("/")[0] for key in arrays if key.endswith("/shown_maps")), None)
    if name is None:
        return []
    low, high = np.quantile(arrays[f"{name}/energies"], (0.05, 0.999))
    side = _WIDTH // 3
    maps = [_resized(_between(one, low, high), side) for one in arrays[f"{name}/shown_maps"][:3].astype(np.float64)]
    caption = (
        f"{name}: anomaly maps of the defects of median and of lowest score, and of the good image of the highest."
    )
    return [_tile("maps", _coloured(_heat(np.concatenate(maps, axis=1))), frames=1, caption=caption)]


def stored(tile: Tile, *, of: str) -> bytes:
    """The file of a tile, which says what it is of."""
    said = PngInfo()
    for key, text in (("of", of), ("frames", str(tile.frames)), ("caption", tile.caption)):
        said.add_itxt(key, text)
    return _png(Image.open(io.BytesIO(tile.png)), said)


def read_tile(name: str, file: bytes, *, of: str) -> Tile | None:
    """A tile from its file; None where that is of something else.

    Raises:
        InvalidFile: for anything but a picture that `stored` wrote.
    """
    try:
        with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
            assert isinstance(image, PngImageFile)
            width, height = image.size
            if max(width, height) > STAGES * _WIDTH:
                raise ValueError(f"{width} x {height} pixels are too many")
            texts = {key: str(text) for key, text in image.text.items()}  # which decodes all of it
        frames = int(texts["frames"])
        if not 0 < frames <= STAGES or height % frames:
            raise ValueError(f"{frames} frames in {height} lines of pixels")
    except (OSError, UnidentifiedImageError, KeyError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidFile(f"not a tile: {error}") from None
    if texts.get("of") != of:
        return None
    caption = texts.get("caption", "")[:300]
    return Tile(name=name, caption=caption, frames=frames, width=width, height=height // frames, png=file)


def _tile(name: str, sheet: Image.Image, *, frames: int, caption: str) -> Tile:
    size = {"width": sheet.width, "height": sheet.height // frames}
    return Tile(name=name, caption=caption, frames=frames, png=_png(sheet, None), **size)


def _png(sheet: Image.Image, said: PngInfo | None) -> bytes:
    out = io.BytesIO()
    sheet.save(out, format="png", optimize=True, pnginfo=said)
    return out.getvalue()


def _coloured(pixels: Bytes) -> Image.Image:
    """An image of few colours, of grey [H, W] or RGB [H, W, 3] pixels."""
    if pixels.ndim == 2:
        return Image.fromarray(pixels // 17 * 17).quantize(16)
    return Image.fromarray(pixels).quantize(_COLOURS, dither=Image.Dither.NONE)


def _scatters(points: Array, box: tuple[float, float]) -> Image.Image:
    """Points [F, n, 2], one frame below the other, in ink on nothing."""
    counts = np.concatenate([np.histogram2d(*one.T, bins=_SIDE, range=[box, box])[0].T[::-1] for one in points])
    for axis in (0, 1):  # a point is two by two pixels
        counts = counts + np.roll(counts, 1, axis=axis)
    sheet = Image.fromarray(np.minimum(counts, _DENSITIES - 1).astype(np.uint8), mode="P")
    sheet.putpalette(_INK * _DENSITIES)
    levels = np.linspace(150, 255, _DENSITIES - 1).astype(np.uint8).tolist()
    sheet.info["transparency"] = bytes([0, *levels])
    return sheet


def _strip(images: Array) -> Bytes:
    """Images [n, c, h, w] in [-1, 1] in two lines with black between, grey [H, W] or RGB [H, W, 3]."""
    scale = max(1, _IMAGE // (images.shape[-1] + 2))
    columns = max(1, min(_COLUMNS, _WIDTH // (scale * images.shape[-1] + 2)))
    pixels = ((images[: columns * _LINES].clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    large = pixels.repeat(scale, axis=-1).repeat(scale, axis=-2)
    framed = np.pad(large, ((0, 0), (0, 0), (1, 1), (1, 1)))
    lines = [np.concatenate(list(framed[at : at + columns]), axis=-1) for at in range(0, len(framed), columns)]
    whole = np.concatenate([line for line in lines if line.shape == lines[0].shape], axis=-2)
    return whole[0] if len(whole) == 1 else np.moveaxis(whole, 0, -1)


def _between(field: NDArray[Any], low: float, high: float) -> Array:
    """A field as shares of the way from `low` to `high`."""
    return np.clip((field - low) / ((high - low) or 1.0), 0, 1)


def _resized(shares: Array, side: int) -> Array:
    """Shares [h, w] on a square of so many pixels."""
    at = np.arange(side) * shares.shape[0] // side
    across = np.arange(side) * shares.shape[1] // side
    return shares[at][:, across]


def _heat(shares: Array) -> Bytes:
    from matplotlib import colormaps

    return (colormaps["inferno"](shares)[..., :3] * 255).round().astype(np.uint8)
