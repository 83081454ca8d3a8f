"""Weights that other packages have fetched: torch.hub, torchvision, timm, pytorch-fid, huggingface."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def cached_files(digest: str, *, bytes_: tuple[int, int]) -> Iterator[Path]:
    """Files in the caches that may be the one of that digest ("sha256:..." or "md5:..."), whatever they are called.

    Huggingface names them by their sha256; of torch's, those of `bytes_`, least and most, come into question.
    """
    algorithm, _, hexadecimal = digest.partition(":")
    if algorithm == "sha256":
        yield from sorted(_huggingface().glob(f"models--*/blobs/{hexadecimal}*"))
    least, most = bytes_
    with suppress(OSError):
        for path in sorted(_torch().iterdir()):
            if path.is_file() and least <= path.stat().st_size <= most:
                yield path


def _torch() -> Path:
    """The cache folder of torch.hub, found without importing it."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def _huggingface() -> Path:
    """The cache folder of huggingface_hub."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def link(found: Path, target: Path) -> Path:
    """The file under another name as well: a hard link, a symbolic one across disks; itself where neither can be."""
    found = found.resolve()
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() and not target.exists():
            target.unlink()
        try:
            target.hardlink_to(found)
        except FileExistsError:
            return target
        except OSError:
            target.symlink_to(found)
        return target
    return found
