"""MVTec-AD's folders: what is read of good ones, what is said of bad ones."""

from pathlib import Path

import numpy as np
import pytest
from mvtec_folder import write_category, write_png

from dxbench.errors import InvalidFile
from dxbench.readers.mvtec import Counts, read_images, read_masks, scan


def test_a_category_is_its_images_its_defects_and_their_masks(tmp_path: Path):
    category = scan(write_category(tmp_path / "bottle"))
    assert category.counts == Counts(train=3, good=2, defective=4)
    assert category.anomalous.tolist() == [True, True, False, False, True, True]  # broken, good, scratch
    assert [image.mask is None for image in category.test] == [False, False, True, True, False, False]


def test_grey_images_become_colour_and_all_are_resized(tmp_path: Path):
    folder = write_category(tmp_path / "zipper")
    write_png(folder / "train" / "good" / "000.png", np.full((40, 40), 90, np.uint8))
    images = read_images(folder, scan(folder).train, 16)
    assert images.shape == (3, 16, 16, 3)
    assert (images[0] == 90).all()


def test_masks_are_true_at_defects_and_false_in_good_images(tmp_path: Path):
    category = scan(write_category(tmp_path / "bottle"))
    masks = read_masks(category, 16)
    np.testing.assert_array_equal(masks.any(axis=(1, 2)), category.anomalous)
    # The 32 x 32 original has its defect in rows 8 .. 15 and columns 4 .. 19.
    wanted = np.zeros((16, 16), bool)
    wanted[4:8, 2:10] = True
    np.testing.assert_array_equal(masks[0], wanted)


def test_the_digest_follows_names_and_contents_and_not_the_place(tmp_path: Path):
    digest = scan(write_category(tmp_path / "a")).digest
    assert scan(write_category(tmp_path / "elsewhere" / "b")).digest == digest
    changed = write_category(tmp_path / "c")
    write_png(changed / "ground_truth" / "broken" / "000_mask.png", np.full((32, 32), 255, np.uint8))
    assert scan(changed).digest != digest


def test_damaged_images_are_named_and_counted_and_refused(tmp_path: Path):
    folder = write_category(tmp_path / "bottle")
    whole = (folder / "train" / "good" / "001.png").read_bytes()
    (folder / "train" / "good" / "001.png").write_bytes(whole[: len(whole) // 2])
    (folder / "train" / "good" / "002.png").write_bytes(b"")
    with pytest.raises(InvalidFile, match=r"2 of 3 images cannot be read .*: train/good/001.png, train/good/002.png"):
        read_images(folder, scan(folder).train, 16)


def test_a_flipped_bit_is_damage_though_it_decodes(tmp_path: Path):
    folder = write_category(tmp_path / "bottle")
    path = folder / "train" / "good" / "000.png"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1  # in the checksum of the last chunk
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=r"1 of 3 images cannot be read .*000.png is damaged"):
        read_images(folder, scan(folder).train, 16)


def test_a_mask_without_an_image_and_an_image_without_a_mask_are_refused(tmp_path: Path):
    folder = write_category(tmp_path / "bottle")
    (folder / "test" / "broken" / "001.png").unlink()
    with pytest.raises(InvalidFile, match=r"1 masks have no image in test/: ground_truth/broken/001_mask.png"):
        scan(folder)
    (folder / "ground_truth" / "broken" / "001_mask.png").unlink()
    (folder / "ground_truth" / "scratch" / "000_mask.png").unlink()
    with pytest.raises(InvalidFile, match=r"1 defective images have no mask: ground_truth/scratch/000_mask.png"):
        scan(folder)


def test_a_mask_that_is_empty_where_the_folder_says_defect_is_refused(tmp_path: Path):
    folder = write_category(tmp_path / "bottle")
    speck = np.zeros((32, 32), np.uint8)
    speck[0, 0] = 255  # gone at 16 x 16, where the nearest pixels are the odd ones
    write_png(folder / "ground_truth" / "scratch" / "001_mask.png", speck)
    with pytest.raises(InvalidFile, match="1 of 4 masks are empty at 16 x 16"):
        read_masks(scan(folder), 16)


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Path):
    folder = write_category(tmp_path / "bottle")
    write_png(folder / "ground_truth" / "scratch" / "001_mask.png", np.full((20, 32), 255, np.uint8))
    with pytest.raises(InvalidFile, match=r"another size than their images: ground_truth/scratch/001_mask.png"):
        read_masks(scan(folder), 16)


def test_an_empty_folder_is_refused(tmp_path: Path):
    (tmp_path / "bottle").mkdir()
    with pytest.raises(InvalidFile, match="wants images in train/good"):
        scan(tmp_path / "bottle")
