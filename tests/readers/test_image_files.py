"""What lies in a folder of images: which files count, what is said of the others, and how each is decoded."""

import io
import logging
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from mvtec_folder import SIDE, write_category, write_png
from PIL import Image

from dxbench.assets.imagefolder import ImageFolder, centre_crop
from dxbench.errors import InvalidFile
from dxbench.readers import read_samples
from dxbench.readers.mvtec import Counts, read_images, read_masks, scan

EVENT = (3, SIDE, SIDE)
GHOST = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(60)
GREY = np.full((SIDE, SIDE, 3), 90, np.uint8)
LEFTOVERS = ("._0.png", ".DS_Store", "Thumbs.db", "__MACOSX/._0.png", ".ipynb_checkpoints/0-checkpoint.png")


def samples(folder: Path, *names: str) -> Path:
    for name in names:
        write_png(folder / name, GREY)
    return folder


def litter(folder: Path) -> None:
    for name in LEFTOVERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(GHOST)


def sixteen_bit_colour(value: int = 0x80FF) -> bytes:
    """A PNG that Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in np.full((SIDE, SIDE, 3), value, ">u2"))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class TestWhatCounts:
    def test_leftovers_are_no_samples_in_a_folder_and_in_a_zip(self, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        folder = samples(tmp_path / "some samples", "0.png", "b/ä 1.PNG", "b/2.Png")
        litter(folder)
        with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as file:
            for path in folder.rglob("*"):
                if path.is_file():
                    file.write(path, path.relative_to(folder))
        for place in (folder, tmp_path / "zipped.zip"):
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                assert len(read_samples(place, EVENT)) == 3
            assert f"{place}: left out 5 of 8 files, no images: " in caplog.text
            assert "._0.png" in caplog.text

    def test_leftovers_are_no_defects_and_no_classes(self, tmp_path: Path):
        category = write_category(tmp_path / "cat")
        for folder in ("train/good", "test", "test/good", "test/broken", "ground_truth", "ground_truth/broken"):
            litter(category / folder)
        assert scan(category).counts == Counts(train=3, good=2, defective=4)
        train = samples(tmp_path / "train", "n01/a.png", "n02/a.PNG")
        litter(train)
        litter(train / "n01")
        folder = ImageFolder(folder=train, size=SIDE)
        assert folder.classes == ["n01", "n02"]
        assert folder.labels.tolist() == [0, 1]

    def test_a_hidden_folder_above_hides_nothing(self, tmp_path: Path):
        assert len(read_samples(samples(tmp_path / ".cache" / "samples", "0.png"), EVENT)) == 1

    def test_capitals_in_a_category(self, tmp_path: Path):
        plain = scan(write_category(tmp_path / "plain"))
        folder = write_category(tmp_path / "cat")
        (folder / "train").rename(folder / "Train")
        (folder / "test" / "good").rename(folder / "test" / "Good")
        (folder / "test" / "broken" / "000.png").rename(folder / "test" / "broken" / "000.PNG")
        (folder / "ground_truth" / "broken" / "001_mask.png").rename(
            folder / "ground_truth" / "broken" / "001_Mask.Png"
        )
        category = scan(folder)
        assert category.counts == Counts(train=3, good=2, defective=4)
        assert category.anomalous.sum() == 4
        assert read_masks(category, 16).sum() == read_masks(plain, 16).sum() > 0

    def test_names_that_capitals_alone_tell_apart(self, tmp_path: Path):
        folder = write_category(tmp_path / "cat")
        write_png(folder / "test" / "broken" / "000.PNG", GREY)
        with pytest.raises(InvalidFile, match="differ in capitals or accents alone"):
            scan(folder)

    @pytest.mark.parametrize("name", ["b.jpg", "b.JPEG", "b.bmp", "b.gif", "b.TIFF", "b.webp"])
    def test_images_of_another_format_are_refused_everywhere(self, tmp_path: Path, name: str):
        folder = samples(tmp_path / "samples", "a.png")
        Image.fromarray(GREY).save(folder / name)
        with pytest.raises(InvalidFile, match=rf"1 of 2 files are images that do not belong here: {name}; wants \.png"):
            read_samples(folder, EVENT)
        category = write_category(tmp_path / "cat")
        Image.fromarray(GREY).save(category / "train" / "good" / name)
        with pytest.raises(InvalidFile, match=f"do not belong here: {name}"):
            scan(category)

    def test_an_image_beside_the_folders_of_defects(self, tmp_path: Path):
        category = write_category(tmp_path / "cat")
        write_png(category / "test" / "loose.png", GREY)
        with pytest.raises(InvalidFile, match=r"do not belong here: loose\.png; wants images in the folders alone"):
            scan(category)


class TestLinks:
    def test_are_followed(self, tmp_path: Path):
        samples(tmp_path / "elsewhere", "0.png", "1.png")
        folder = samples(tmp_path / "samples", "a.png")
        (folder / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (folder / "b.png").symlink_to(tmp_path / "elsewhere" / "0.png")
        assert len(read_samples(folder, EVENT)) == 4
        assert len(ImageFolder(folder=folder, size=SIDE).files) == 4
        category = write_category(tmp_path / "cat")
        (category / "test" / "good" / "linked.png").symlink_to(tmp_path / "elsewhere" / "0.png")
        assert scan(category).counts.good == 3

    @pytest.mark.parametrize("target", ["gone.png", "b.png"], ids=["nowhere", "itself"])
    def test_to_no_file_are_refused(self, tmp_path: Path, target: str):
        folder = samples(tmp_path / "samples", "a.png")
        (folder / "b.png").symlink_to(folder / target)
        category = write_category(tmp_path / "cat")
        (category / "train" / "good" / "b.png").symlink_to(category / "train" / "good" / target)
        with pytest.raises(InvalidFile, match=r"b\.png is a link to no file"):
            read_samples(folder, EVENT)
        with pytest.raises(InvalidFile, match=r"b\.png is a link to no file"):
            scan(category)

    def test_that_lead_back_are_refused(self, tmp_path: Path):
        folder = samples(tmp_path / "samples", "a/0.png")
        (folder / "a" / "back").symlink_to(folder, target_is_directory=True)
        for read in (lambda: read_samples(folder, EVENT), lambda: ImageFolder(folder=folder, size=SIDE).files):
            with pytest.raises(InvalidFile, match="back is a link that leads back to a folder above it"):
                read()


class TestDepth:
    def test_grey_of_sixteen_bits_is_scaled(self, tmp_path: Path):
        ramp = np.linspace(0, 65535, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
        write_png(tmp_path / "a.png", ramp)
        wanted = np.repeat(np.round(ramp / 257)[..., None], 3, axis=2)
        assert np.array_equal(read_images(tmp_path, [tmp_path / "a.png"], SIDE)[0], wanted)
        assert np.array_equal(centre_crop(tmp_path / "a.png", SIDE), wanted)

    def test_colour_of_sixteen_bits_is_refused(self, tmp_path: Path):
        (tmp_path / "a.png").write_bytes(sixteen_bit_colour())
        for read in (
            lambda: read_images(tmp_path, [tmp_path / "a.png"], SIDE),
            lambda: centre_crop(tmp_path / "a.png", SIDE),
            lambda: read_samples(tmp_path, EVENT),
        ):
            with pytest.raises(InvalidFile, match=r"a\.png has (colours of 16 bits|16 bits a channel)"):
                read()

    def test_samples_of_fewer_bits_are_refused(self, tmp_path: Path):
        Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).convert("P", palette=Image.Palette.ADAPTIVE, colors=4).save(
            tmp_path / "a.png", bits=2
        )
        with pytest.raises(InvalidFile, match=r"a\.png has mode P, wants 8-bit L"):
            read_samples(tmp_path, (1, SIDE, SIDE))


class TestFormats:
    def test_a_jpeg_with_four_inks_is_rgb(self, tmp_path: Path):
        Image.fromarray(GREY).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
        assert np.abs(centre_crop(tmp_path / "a.jpg", SIDE).astype(int) - 90).max() <= 3

    def test_an_orientation_turns_no_pixel(self, tmp_path: Path):
        turned, pixels = (
            Image.Exif(),
            np.arange(SIDE * SIDE * 3, dtype=np.uint32).reshape(SIDE, SIDE, 3).astype(np.uint8),
        )
        turned[0x0112] = 6
        Image.fromarray(pixels).save(tmp_path / "a.png", exif=turned)
        assert np.array_equal(read_samples(tmp_path, EVENT)[0], pixels)
        assert np.array_equal(centre_crop(tmp_path / "a.png", SIDE), pixels)

    @pytest.mark.parametrize("ending", ["png", "webp"])
    def test_moving_pictures_are_refused(self, tmp_path: Path, ending: str):
        first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
        first.save(tmp_path / f"a.{ending}", save_all=True, append_images=[second])
        with pytest.raises(InvalidFile, match="has 2 pictures, wants one"):
            centre_crop(tmp_path / f"a.{ending}", SIDE)

    @pytest.mark.parametrize("content", [b"", b"hello", GHOST, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n"])
    def test_other_files_by_that_name_are_refused_without_an_address(self, tmp_path: Path, content: bytes):
        (tmp_path / "a.png").write_bytes(content)
        for read in (lambda: read_samples(tmp_path, EVENT), lambda: centre_crop(tmp_path / "a.png", SIDE)):
            with pytest.raises(InvalidFile, match=r"a\.png is damaged: it is (empty|no image of format)") as refusal:
                read()
            assert "0x" not in str(refusal.value)


def colour_mask(on: np.ndarray, colour: tuple[int, int, int]) -> Image.Image:
    pixels = np.zeros((*on.shape, 3), np.uint8)
    pixels[on] = colour
    return Image.fromarray(pixels)


def see_through(on: np.ndarray, colour: int) -> Image.Image:
    pixels = np.full((*on.shape, 4), colour, np.uint8)
    pixels[..., 3] = on * 255
    return Image.fromarray(pixels)


def indexed(on: np.ndarray, palette: list[int]) -> Image.Image:
    image = Image.fromarray(on.astype(np.uint8)).convert("P")
    image.putpalette(palette + [0] * (768 - len(palette)))
    return image


MASKS = {
    "0 and 1": lambda on: Image.fromarray(on.astype(np.uint8)),
    "one bit": Image.fromarray,
    "16 bits, label 1": lambda on: Image.fromarray(on.astype(np.uint16)),
    "label in red": lambda on: colour_mask(on, (1, 0, 0)),
    "dim blue": lambda on: colour_mask(on, (0, 0, 4)),
    "index of a dark colour": lambda on: indexed(on, [0, 0, 0, 1, 0, 0]),
    "palette upside down": lambda on: indexed(~on, [255, 255, 255, 0, 0, 0]),
    "white, defect in alpha": lambda on: see_through(on, 255),
    "black, defect in alpha": lambda on: see_through(on, 0),
    "grey with alpha": lambda on: see_through(on, 255).convert("LA"),
    "colour, opaque": lambda on: colour_mask(on, (0, 9, 0)).convert("RGBA"),
}


@pytest.mark.parametrize("mode", MASKS)
def test_a_mask_is_true_where_it_is_not_0_in_whatever_mode(tmp_path: Path, mode: str):
    folder = write_category(tmp_path / "cat", defects=("broken",), per_defect=1)
    on = np.zeros((SIDE, SIDE), bool)
    on[8:16, 4:20] = True
    path = folder / "ground_truth" / "broken" / "000_mask.png"
    path.unlink()
    MASKS[mode](on).save(path)
    assert np.array_equal(read_masks(scan(folder), SIDE)[0], on)


def test_a_damaged_member_of_a_zip_is_a_refusal(tmp_path: Path):
    content = io.BytesIO()
    Image.fromarray(GREY).save(content, "PNG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0.png", content.getvalue())
    whole = (tmp_path / "a.zip").read_bytes()
    for i in range(0, len(whole)):
        (tmp_path / "a.zip").write_bytes(whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1 :])
        try:
            read_samples(tmp_path / "a.zip", EVENT)
        except InvalidFile as refusal:
            assert " at 0x" not in str(refusal)  # noqa: PT017 - either way is right
