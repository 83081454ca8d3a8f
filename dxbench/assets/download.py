"""Fetching a file: mirrors in turn, a broken transfer taken up where it stopped, kept only if its hash is right."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from dxbench.assets.asset import Asset
from dxbench.errors import DxbenchError, ExitCode, InvalidFile

CHUNK = 1 << 16
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TIMEOUT = 30.0
"""Seconds without a byte after which a home counts as gone."""

Progress = Callable[[int, int | None], None]
"""Bytes that are there, and all bytes or None where the home does not say."""


class DownloadFailed(DxbenchError):
    """No home of a file gave it."""

    exit_code = ExitCode.MISSING_DATA


def fetch(asset: Asset, *, progress: Progress) -> Path:
    """Download an asset to where it belongs. What came of a broken transfer is kept, and asked for no more.

    Raises:
        DownloadFailed: if no home answers as it should; the message has every reason.
        InvalidFile: if what came has another hash; it is not kept.
    """
    target = asset.target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    reasons = []
    for url in asset.urls:
        try:
            return _fetch_from(url, asset, part, progress)
        except OSError as error:  # requests' errors are OSErrors too
            if error.errno in FULL:
                raise DownloadFailed(
                    f"{asset.name}: no space left on the disk of {target.parent}; {_kept(part)}. Make room"
                    f"{f' for {asset.size:,} bytes' if asset.size else ''} and give the command again"
                ) from None
            reasons.append(f"{url}: {error}")
    raise DownloadFailed(
        f"{asset.name} could not be fetched ({'; '.join(reasons)}). {_kept(part).capitalize()}. Try again later, or "
        f"put the file at {target} yourself and give the command again to have it checked"
    )


def _fetch_from(url: str, asset: Asset, part: Path, progress: Progress) -> Path:
    import pooch

    def downloader(source: str, output: str, _: object) -> None:
        _download(source, part, asset.size, progress)
        part.replace(output)  # pooch checks the hash there, and moves the file to its place or removes it

    pooch.get_logger().setLevel("WARNING")
    try:
        found = pooch.retrieve(
            url,
            known_hash=asset.digest,
            path=asset.target.parent,
            fname=asset.target.name,
            downloader=cast(Any, downloader),
        )
    except ValueError as error:  # pooch's word for another hash
        raise InvalidFile(
            f"{asset.name}: what {url} gave is not the file that is wanted, and was not kept ({error})"
        ) from None
    return Path(found)


def _download(url: str, part: Path, size: int | None, progress: Progress) -> None:
    """Appends to `part` what is still missing."""
    import requests

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
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else size
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


def _kept(part: Path) -> str:
    have = part.stat().st_size if part.is_file() else 0
    return f"the {have:,} bytes that came are kept" if have else "nothing came"
