"""Fetching a file: mirrors in turn, a broken transfer taken up where it stopped, kept only if it is what is wanted."""

import errno
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from dxbench.assets.asset import Asset
from dxbench.errors import DxbenchError, ExitCode, InvalidFile

if TYPE_CHECKING:
    from requests import Response

CHUNK = 1 << 16
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TIMEOUT = 30.0
"""Seconds without a byte after which a home counts as gone."""

Progress = Callable[[int, int | None], None]
"""Bytes that are there, and all bytes or None where the home does not say."""


class DownloadFailed(DxbenchError):
    """No home of a file gave it."""

    exit_code = ExitCode.MISSING_DATA


@contextmanager
def held(asset: Asset, *, waiting: Callable[[], None]) -> Iterator[None]:
    """The asset for this process alone: of several that want one file, one fetches it and the others find it there.

    The lock is the operating system's and goes with the process; on a network file system this needs one that passes
    locks on. `waiting` is called once if another process has it.
    """
    asset.target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(asset.target.with_name(f".{asset.target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire(poll_interval=0.1)
    try:
        yield
    finally:
        lock.release()


def fetch(asset: Asset, *, progress: Progress) -> Path:
    """Download an asset, which this process holds, to where it belongs.

    What came of a broken transfer is kept and asked for no more, if a digest tells what was pieced together from what
    was wanted.

    Raises:
        DownloadFailed: if no home answers as it should; the message has every reason.
        InvalidFile: if what came has another hash; it is not kept.
    """
    target = asset.target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    _clear(part, keep=asset.digest is not None)
    reasons = []
    for url in asset.urls:
        try:
            _download(url, part, asset, progress)
            break
        except OSError as error:  # requests' errors are OSErrors too
            if error.errno in FULL:
                raise DownloadFailed(
                    f"{asset.name}: no space left on the disk of {target.parent}; {_kept(part)}. Make room"
                    f"{f' for {asset.size:,} bytes' if asset.size else ''} and give the command again"
                ) from None
            reasons.append(f"{url}: {error}")
            _clear(part, keep=asset.digest is not None)
    else:
        raise DownloadFailed(
            f"{asset.name} could not be fetched ({'; '.join(reasons)}). {_kept(part).capitalize()}. Try again later, "
            f"or put the file at {target} yourself and give the command again to have it checked"
        )
    if asset.digest is not None and not asset.is_right(got := _digest(asset, part)):
        part.unlink()
        raise InvalidFile(
            f"{asset.name}: what {url} gave is not the file that is wanted, and was not kept ({got}, wanted "
            f"{asset.digest})"
        )
    return part.replace(target)


def _digest(asset: Asset, part: Path) -> str:
    """The hash of what came, or why it has none."""
    try:
        return asset.digest_of(part)
    except InvalidFile as error:
        return str(error)


def _clear(part: Path, *, keep: bool) -> None:
    """Nothing in the place of the part but a plain file, and that only if its contents will be checked."""
    try:
        mode = part.lstat().st_mode
    except FileNotFoundError:
        return
    if not (keep and stat.S_ISREG(mode)):
        part.unlink()  # of a link, the link


def _download(url: str, part: Path, asset: Asset, progress: Progress) -> None:
    """Appends to `part` what is still missing."""
    import requests

    size = asset.size
    have = part.stat().st_size if part.is_file() else 0
    if size is not None and have >= size:  # more than all of it is no part of it
        if have == size:
            return
        part.unlink()
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if have and response.status_code == 416:  # nothing is missing, or the file there is shorter
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink()
            raise OSError("the file there is shorter than the part of it that is here, which was removed")
        response.raise_for_status()
        resumed = response.status_code == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise OSError(f"asked for bytes from {have:,} on, got {response.headers.get('Content-Range')!r}")
        have = have if resumed else 0
        total = _total(response, have, asset)
        with part.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
    if total is not None and have != total:
        raise OSError(f"the transfer broke off at {have:,} of {total:,} bytes")
    if size is not None and have != size:
        part.unlink()
        raise OSError(f"the file there has {have:,} bytes, wanted {size:,}")


def _total(response: "Response", have: int, asset: Asset) -> int | None:
    """All bytes of the file, where anybody says.

    Raises:
        OSError: if nothing could tell a whole transfer from one that was cut, or the address leaves https.
    """
    if response.url.startswith("http:") and asset.digest is None and response.history:
        raise OSError(f"leads on to {response.url}, where anybody on the way could change a file without known hash")
    length = response.headers.get("Content-Length")
    if length is not None:
        return have + int(length)
    chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"  # whose end is marked
    if asset.size is None and asset.digest is None and not chunked:
        raise OSError("does not say how long the file is, so that a cut transfer would look whole")
    return asset.size


def _kept(part: Path) -> str:
    have = part.stat().st_size if part.is_file() else 0
    return f"the {have:,} bytes that came are kept" if have else "nothing came"
