"""The remote that an address means."""

from dxbench.errors import UsageError
from dxbench.exchange.git_remote import GitRemote
from dxbench.exchange.hub_remote import NAME, HubRemote
from dxbench.exchange.remote import Remote

HUB = "hf://datasets/"


def remote_of(address: str, *, branch: str | None = None) -> Remote:
    """The data set of `hf://datasets/OWNER/NAME`, or a git remote for any other URL or path.

    Raises:
        UsageError: for an address that can be neither.
    """
    if address.startswith("hf://"):
        name = address.removeprefix(HUB)
        if not NAME.fullmatch(name):
            raise UsageError(f"{address!r} is no data set of the hub; wanted {HUB}OWNER/NAME, and a branch by --branch")
        return HubRemote(name, branch)
    if not address.strip() or address.startswith("-") or not address.isprintable():
        raise UsageError(f"{address!r} is no address; give a URL or path that git understands, or {HUB}OWNER/NAME")
    return GitRemote(address, branch)
