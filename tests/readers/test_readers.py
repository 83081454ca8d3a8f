"""Samples made elsewhere: what is read, and what is refused before it does harm."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dxbench.errors import InvalidFile, MissingData
from dxbench.readers import Statistics, read_samples, read_statistics

EVENT = (3, 6, 5)
IMAGES = np.random.default_rng(0).integers(0, 256, size=(4, 6, 5, 3), dtype=np.uint8)


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def edm_members() -> dict[str, bytes]:
    return {f"00000/img{i:08d}.png": png(image) for i, image in enumerate(IMAGES)}


class TestWhatIsRead:
    def test_adm_npz_with_and_without_labels(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "plain.npz", IMAGES)
        np.savez_compressed(tmp_path / "labelled.npz", IMAGES, np.arange(4))
        np.save(tmp_path / "plain.npy", IMAGES)
        for name in ("plain.npz", "labelled.npz", "plain.npy"):
            assert np.array_equal(read_samples(tmp_path / name, EVENT), IMAGES)

    def test_edm_zip_in_the_order_of_its_names(self, tmp_path: Path) -> None:
        members = edm_members()
        backwards = {name: members[name] for name in reversed(members)}
        path = archive(tmp_path / "edm.zip", {"dataset.json": b'{"labels": null}', **backwards})
        assert np.array_equal(read_samples(path, EVENT), IMAGES)

    def test_folder_of_pngs_in_the_order_of_its_paths(self, tmp_path: Path) -> None:
        for name, content in edm_members().items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        (tmp_path / "readme.txt").write_text("not an image")
        assert np.array_equal(read_samples(tmp_path, EVENT), IMAGES)

    def test_grey_images_have_one_channel(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(png(IMAGES[0, :, :, 0]))
        assert np.array_equal(read_samples(tmp_path, (1, 6, 5)), IMAGES[:1, :, :, :1])

    def test_statistics_of_ttur_and_of_adm(self, tmp_path: Path) -> None:
        mu, sigma = np.arange(3.0), np.diag([1.0, 2, 3]).astype(np.float32)
        np.savez(tmp_path / "stats.npz", mu=mu, sigma=sigma)
        np.savez(tmp_path / "adm.npz", mu=mu, sigma=sigma, mu_s=mu[:2], sigma_s=sigma[:2, :2])
        plain, both = (read_samples(tmp_path / name, EVENT) for name in ("stats.npz", "adm.npz"))
        assert isinstance(plain, Statistics)
        assert isinstance(both, Statistics)
        assert set(plain.moments) == {"pool3"}
        assert {kind: len(mean) for kind, (mean, _) in both.moments.items()} == {"pool3": 3, "spatial": 2}
        assert plain.moments["pool3"][1].dtype == np.float64

    def test_statistics_beside_images_as_in_adms_references(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "reference.npz", arr_0=IMAGES, mu=np.zeros(3), sigma=np.eye(3))
        assert np.array_equal(read_samples(tmp_path / "reference.npz", EVENT), IMAGES)
        assert set(read_statistics(tmp_path / "reference.npz").moments) == {"pool3"}
        np.savez(tmp_path / "images.npz", IMAGES)
        with pytest.raises(InvalidFile, match="wants arrays named mu and sigma"):
            read_statistics(tmp_path / "images.npz")
        with pytest.raises(MissingData, match="no file"):
            read_statistics(tmp_path / "none.npz")

    def test_points_of_any_numbers_become_float64(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "points.npz", samples=np.arange(6, dtype=np.int32).reshape(3, 2))
        got = read_samples(tmp_path / "points.npz", (2,))
        assert isinstance(got, np.ndarray)
        assert got.dtype == np.float64

    def test_an_array_that_is_not_needed_may_be_anything(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "points.npz", samples=np.ones((3, 2)), settings=np.array([{}], dtype=object))
        assert np.array_equal(read_samples(tmp_path / "points.npz", (2,)), np.ones((3, 2)))

    @pytest.mark.parametrize("form", [">f8", "f2", "i1", "u8", "g"])
    def test_byte_order_and_memory_order_change_no_value(self, tmp_path: Path, form: str) -> None:
        values = np.arange(6).reshape(3, 2)
        np.savez(tmp_path / "points.npz", samples=np.asfortranarray(values.astype(form)))
        assert np.array_equal(read_samples(tmp_path / "points.npz", (2,)), values)

    def test_an_npz_and_a_zip_are_told_by_what_is_in_them(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "plain.npz", IMAGES)
        (tmp_path / "plain.npz").rename(tmp_path / "plain.ZIP")
        assert np.array_equal(read_samples(tmp_path / "plain.ZIP", EVENT), IMAGES)
        assert np.array_equal(read_samples(archive(tmp_path / "edm.NPZ", edm_members()), EVENT), IMAGES)

    def test_images_scored_as_floats_come_as_floats_or_bytes(self, tmp_path: Path) -> None:
        grey, event = IMAGES[..., :1], (1, 6, 5)
        floats = grey.transpose(0, 3, 1, 2) / 127.5 - 1
        np.savez(tmp_path / "floats.npz", samples=floats)
        np.savez(tmp_path / "bytes.npz", grey)
        members = {f"{i}.png": png(image[..., 0]) for i, image in enumerate(grey)}
        for path in (tmp_path / "floats.npz", tmp_path / "bytes.npz", archive(tmp_path / "grey.zip", members)):
            assert np.array_equal(read_samples(path, event, image_bytes=False), floats)
        np.savez(tmp_path / "last.npz", samples=floats.transpose(0, 2, 3, 1))
        with pytest.raises(InvalidFile, match=r"wants samples of shape \[n, 1, 6, 5\], got \[4, 6, 5, 1\]"):
            read_samples(tmp_path / "last.npz", event, image_bytes=False)


class TestArraysThatAreRefused:
    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.ones((3, 2)) + 1j, "wants real numbers"),
            (np.ones((3, 2), bool), "wants real numbers"),
            (np.zeros((3, 2), "m8[s]"), "wants real numbers"),
            (np.zeros(3, [("x", "f4"), ("y", "f4")]), "wants real numbers"),
            (np.array(1.0), r"got float64 \[\]"),
            (np.zeros((0, 2)), r"got float64 \[0, 2\]"),
            (np.full((3, 2), 1e200), r"samples reach 1e\+200"),
            (np.full((3, 2), np.longdouble("1e400")), "samples reach inf"),
            (np.full((3, 2), np.inf), "3 of 3 samples are not finite"),
        ],
        ids=["complex", "bool", "durations", "records", "no axis", "empty", "huge", "beyond float64", "infinite"],
    )
    def test_points_that_no_metric_can_take(self, tmp_path: Path, array: np.ndarray, words: str) -> None:
        np.savez(tmp_path / "bad.npz", samples=array)
        with pytest.raises(InvalidFile, match=words):
            read_samples(tmp_path / "bad.npz", (2,))

    @pytest.mark.parametrize("array", [np.array(1.0), np.zeros((0, 6, 5, 3)), IMAGES + 0j])
    def test_images_of_other_types_and_shapes(self, tmp_path: Path, array: np.ndarray) -> None:
        np.savez(tmp_path / "bad.npz", array)
        with pytest.raises(InvalidFile, match="wants uint8 images"):
            read_samples(tmp_path / "bad.npz", EVENT)

    def test_two_arrays_that_could_be_the_samples(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "bad.npz", arr_0=np.ones((3, 2)), samples=np.zeros((3, 2)))
        with pytest.raises(InvalidFile, match="holds both arr_0 and samples"):
            read_samples(tmp_path / "bad.npz", (2,))

    @pytest.mark.parametrize(
        "content",
        [b"", b"hello", b"\x80\x04\x95", b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((", b"PK\x03\x04 and no more"],
        ids=["empty", "text", "pickle", "header of brackets", "zip cut short"],
    )
    def test_other_files_by_that_name(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(InvalidFile, match="not a readable npz") as refusal:
            read_samples(tmp_path / "bad.npz", (2,))
        assert "unsafely" not in str(refusal.value)

    def test_every_flipped_byte_of_an_archive_is_a_refusal_or_the_samples(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.npz"
        np.savez_compressed(path, samples=np.ones((3, 2)))
        whole = path.read_bytes()
        for i in range(len(whole)):
            path.write_bytes(whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1 :])
            try:
                read_samples(path, (2,))
            except InvalidFile as refusal:
                assert " at 0x" not in str(refusal)  # noqa: PT017 - either way is right

    def test_a_folder_where_points_are_wanted(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidFile, match="is a folder, wants an npz or npy file"):
            read_samples(tmp_path, (2,))

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (IMAGES[..., 0], r"got uint8 \[4, 6, 5\]"),
            (IMAGES[..., :1], r"got uint8 \[4, 6, 5, 1\]"),
            (np.concatenate([IMAGES, IMAGES[..., :1]], axis=3), r"got uint8 \[4, 6, 5, 4\]"),
            (IMAGES.transpose(0, 3, 1, 2), r"wants uint8 images \[n, 6, 5, 3\] \(n, height, width, channels\)"),
            (IMAGES[:0], r"got uint8 \[0, 6, 5, 3\]"),
            (IMAGES.astype(np.int64), "got int64"),
            (IMAGES / 255, "got float64; round"),
            (np.full((4, 6, 5, 3), np.nan), "4 of 4 samples are not finite"),
        ],
        ids=["no channels", "grey", "alpha", "channels first", "empty", "wide integers", "floats", "nan"],
    )
    def test_other_arrays(self, tmp_path: Path, array: np.ndarray, words: str) -> None:
        np.savez(tmp_path / "bad.npz", arr_0=array)
        with pytest.raises(InvalidFile, match=words):
            read_samples(tmp_path / "bad.npz", EVENT)

    @pytest.mark.parametrize("labels", [np.arange(3), np.arange(4.0), np.array([0, 1, -1, 2])])
    def test_labels_that_do_not_fit(self, tmp_path: Path, labels: np.ndarray) -> None:
        np.savez(tmp_path / "bad.npz", IMAGES, labels)
        with pytest.raises(InvalidFile, match="arr_1 wants 4 class labels"):
            read_samples(tmp_path / "bad.npz", EVENT)

    @pytest.mark.parametrize(
        ("mu", "sigma", "words"),
        [
            (np.zeros(3), np.eye(2), r"got float64 \[3\] and float64 \[2, 2\]"),
            (np.array([0, np.nan]), np.eye(2), "not finite"),
            (np.zeros(2), np.array([[1.0, 5], [0, 1]]), "not symmetric"),
            (np.zeros(2), np.array([[1.0, 5], [5, 1]]), "correlations above 1"),
            (np.zeros(2), -np.eye(2), "variances below 0"),
            (np.zeros(2) + 1j, np.eye(2), "real numbers"),
            (np.array(1.0), np.array(1.0), "real numbers"),
            (np.zeros(0), np.zeros((0, 0)), "real numbers"),
        ],
    )
    def test_statistics_that_are_none(self, tmp_path: Path, mu: np.ndarray, sigma: np.ndarray, words: str) -> None:
        np.savez(tmp_path / "bad.npz", mu=mu, sigma=sigma)
        with pytest.raises(InvalidFile, match=words):
            read_samples(tmp_path / "bad.npz", EVENT)

    def test_names_that_are_missing_are_named(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "bad.npz", fakes=IMAGES)
        with pytest.raises(InvalidFile, match=r"wants an array named arr_0, samples, or mu and sigma, has \['fakes'\]"):
            read_samples(tmp_path / "bad.npz", EVENT)

    def test_objects_are_not_unpickled(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "bad.npz", arr_0=np.array([{}], dtype=object))
        with pytest.raises(InvalidFile, match="not a readable npz"):
            read_samples(tmp_path / "bad.npz", EVENT)

    @pytest.mark.parametrize("cut", [10, 200, -30])
    def test_truncated_files(self, tmp_path: Path, cut: int) -> None:
        np.savez(tmp_path / "whole.npz", IMAGES)
        (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:cut])
        with pytest.raises(InvalidFile, match="not a readable npz"):
            read_samples(tmp_path / "cut.npz", EVENT)


class TestImagesThatAreRefused:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (png(IMAGES[0])[:40], r"b\.png is damaged"),
            (png(IMAGES[0])[:-20], r"b\.png is damaged"),
            (b"GIF89a", r"b\.png is damaged"),
            (png(IMAGES[0], "JPEG"), r"b\.png is damaged"),
            (png(IMAGES[0, :, :, 0]), r"b\.png has mode L, wants 8-bit RGB"),
            (png(np.dstack([IMAGES[0], IMAGES[0, :, :, 0]])), r"b\.png has mode RGBA, wants 8-bit RGB"),
            (png(IMAGES[0, :, :, 0].astype(np.uint16)), r"b\.png has mode I;16, wants 8-bit RGB"),
            (png(IMAGES[0, :4]), r"b\.png is 5 x 4, wants 5 x 6"),
        ],
        ids=["header only", "truncated", "no png", "jpeg in disguise", "grey", "alpha", "16 bits", "wrong size"],
    )
    def test_are_named(self, tmp_path: Path, content: bytes, words: str) -> None:
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "a.png").write_bytes(png(IMAGES[0]))
        (tmp_path / "images" / "b.png").write_bytes(content)
        zipped = archive(tmp_path / "zipped.zip", {"a.png": png(IMAGES[0]), "b.png": content})
        for path in (tmp_path / "images", zipped):
            with pytest.raises(InvalidFile, match=words):
                read_samples(path, EVENT)

    def test_lossy_formats(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(png(IMAGES[0]))
        (tmp_path / "b.jpg").write_bytes(png(IMAGES[0], "JPEG"))
        with pytest.raises(InvalidFile, match=r"b\.jpg; wants \.png; b\.jpg is a lossy format"):
            read_samples(tmp_path, EVENT)

    def test_nothing_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidFile, match="holds no PNG images"):
            read_samples(tmp_path, EVENT)
        with pytest.raises(MissingData, match="no file"):
            read_samples(tmp_path / "none.zip", EVENT)


class TestArchivesThatAreRefused:
    @pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "x/../../a.png", "..\\a.png", "C:\\a.png"])
    def test_members_that_leave_it(self, tmp_path: Path, name: str) -> None:
        path = archive(tmp_path / "bad.zip", {"good.png": png(IMAGES[0]), name: png(IMAGES[0])})
        with pytest.raises(InvalidFile, match="points outside of the archive"):
            read_samples(path, EVENT)

    def test_members_of_an_npz_that_leave_it(self, tmp_path: Path) -> None:
        out = io.BytesIO()
        np.save(out, IMAGES)
        path = archive(tmp_path / "bad.npz", {"arr_0.npy": out.getvalue(), "../evil.npy": out.getvalue()})
        with pytest.raises(InvalidFile, match="points outside of the archive"):
            read_samples(path, EVENT)

    def test_links(self, tmp_path: Path) -> None:
        link = zipfile.ZipInfo("a.png")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "bad.zip", "w") as file:
            file.writestr(link, "/etc/passwd")
        with pytest.raises(InvalidFile, match="is a link"):
            read_samples(tmp_path / "bad.zip", EVENT)

    def test_bombs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dxbench.files.archives.SMALL_BYTES", 100_000)
        path = archive(tmp_path / "bad.zip", {"a.png": bytes(10_000_000)})
        with pytest.raises(InvalidFile, match=r"would expand from [0-9,]+ to 10,000,000 bytes"):
            read_samples(path, EVENT)

    def test_members_too_large_for_an_image(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dxbench.readers.images.MAX_IMAGE_BYTES", 1000)
        path = archive(tmp_path / "bad.zip", {"a.png": bytes(100), "b.png": bytes(1001)})
        with pytest.raises(InvalidFile, match=r"b\.png claims"):
            read_samples(path, EVENT)

    def test_two_members_of_one_name(self, tmp_path: Path) -> None:
        path = archive(tmp_path / "bad.zip", {"a.png": png(IMAGES[0]), "b.png": png(IMAGES[1])})
        path.write_bytes(path.read_bytes().replace(b"b.png", b"a.png"))
        with pytest.raises(InvalidFile, match="two members of one name"):
            read_samples(tmp_path / "bad.zip", EVENT)

    @pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:60] + b"\0" * 40 + b[100:]])
    def test_damaged_ones(self, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
        path = archive(tmp_path / "bad.zip", edm_members())
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises((InvalidFile, MissingData)):
            read_samples(path, EVENT)


def test_class_labels_beyond_those_of_the_task_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    np.savez(path, np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 9, 10]))
    with pytest.raises(InvalidFile, match=r"arr_1 has class label 10, the task's are 0 \.\. 9"):
        read_samples(path, (1, 8, 8), num_classes=10)
    assert len(read_samples(path, (1, 8, 8), num_classes=11)) == 3  # type: ignore[arg-type]
    assert len(read_samples(path, (1, 8, 8))) == 3  # type: ignore[arg-type]
