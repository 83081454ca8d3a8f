"""A data set of the Hugging Face hub, through the library `huggingface_hub`, which knows its protocol and tokens."""

import importlib.util
import os
import re
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dxbench.assets.prepare import asked_offline
from dxbench.errors import UsageError
from dxbench.exchange.remote import Progress, RemoteFile, RemoteRefused
from dxbench.plain import counted, plain

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
_KIND = "dataset"
_AT_A_TIME = 8
_REASON = 300
"""Characters of what the hub says."""


@dataclass(frozen=True)
class HubRemote:
    """A data set of the hub at `HF_ENDPOINT`, by default huggingface.co.

    Attributes:
        name: OWNER/NAME.
        branch: by default main.
    """

    name: str
    branch: str | None = None

    @contextmanager
    def open(self, *, progress: Progress) -> "Iterator[HubSnapshot]":
        """The branch as it is now.

        Raises:
            UsageError: if `huggingface_hub` is not installed, DXBENCH_OFFLINE is set, or there is no such branch.
            RemoteRefused: if the hub cannot be reached or does not let us read.
        """
        if importlib.util.find_spec("huggingface_hub") is None:
            raise UsageError(
                "a data set of the hub needs the package huggingface_hub, which is not installed: "
                "`pip install 'dxmi-bench[hub]'`"
            )
        if asked_offline():
            raise UsageError(
                f"{self.place} needs a network, and DXBENCH_OFFLINE says there is none; unset it, or use a git remote "
                "that is a path"
            )
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        with self.refusals(), _without_bars():
            progress(f"reading {self.place}")
            api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
            sha = str(api.repo_info(self.name, repo_type=_KIND, revision=self.branch).sha)
            tree = api.list_repo_tree(self.name, repo_type=_KIND, revision=sha, recursive=True)
            files = {one.path: _file(one) for one in tree if isinstance(one, RepoFile)}
        yield HubSnapshot(files=files, remote=self, sha=sha, _api=api)

    @property
    def place(self) -> str:
        """The address, for people."""
        return f"hf://datasets/{self.name}" + (f" (branch {plain(self.branch)})" if self.branch else "")

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Turn the errors of the library into a sentence with the remedy.

        Raises:
            UsageError: for a name or a branch that cannot be.
            RemoteRefused: for whatever the hub or the network refuse.
        """
        from huggingface_hub import errors

        name = f"hf://datasets/{self.name}"
        log_in = "log in by `hf auth login`, or set HF_TOKEN, with a token that may do this"
        again = "somebody else pushed meanwhile, give the command again"
        try:
            yield
        except errors.HFValidationError as error:
            raise UsageError(f"{name} cannot be the name of a data set ({_reason(error)}); wanted OWNER/NAME") from None
        except errors.RevisionNotFoundError:
            make = f"`hf repos branch create {self.name} {self.branch} --repo-type dataset`"
            raise UsageError(
                f"{name} has no branch {self.branch!r}; leave --branch out, or make it by {make}"
            ) from None
        except errors.RepositoryNotFoundError as error:
            make = f"`hf repos create {self.name} --repo-type dataset`"
            raise RemoteRefused(
                f"the hub shows you no {name} ({_reason(error)}); make it by {make}, or {log_in}"
            ) from None
        except errors.HfHubHTTPError as error:
            right = "see that the name is right, and HF_ENDPOINT if it is set"
            remedies = {401: log_in, 403: log_in, 404: right, 409: again, 412: again}
            remedy = remedies.get(error.response.status_code, "give the command again later")
            raise RemoteRefused(f"the hub refuses {name} ({_reason(error)}); {remedy}") from None
        except (_transport_error(), ConnectionError, errors.LocalEntryNotFoundError) as error:
            raise RemoteRefused(
                f"the hub cannot be reached ({_reason(error)}); see that there is a network, that HF_HUB_OFFLINE is "
                "not set, and that HF_ENDPOINT is right if it is set"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise RemoteRefused(
                f"what answers for {name} does not answer as the hub does ({type(error).__name__}: {_reason(error)}); "
                "see that HF_ENDPOINT is right if it is set"
            ) from None


@dataclass(frozen=True, kw_only=True)
class HubSnapshot:
    """A commit of a data set; attributes as `Snapshot` has them."""

    files: Mapping[str, RemoteFile]
    remote: HubRemote
    sha: str
    _api: "HfApi" = field(repr=False)
    absent: str = ""

    @property
    def place(self) -> str:
        """The address, for people."""
        return self.remote.place

    def fetch(self, names: Collection[str], folder: Path, *, progress: Progress) -> None:
        """Download files, some at a time, as `Snapshot.fetch` says."""

        def fetch_one(name: str) -> None:
            self._api.hf_hub_download(self.remote.name, name, repo_type=_KIND, revision=self.sha, local_dir=folder)

        with self.remote.refusals(), _without_bars(), ThreadPoolExecutor(_AT_A_TIME) as pool:
            for number, _ in enumerate(pool.map(fetch_one, names), 1):
                progress(f"fetched file {number} of {len(names)}")

    def add(self, files: Mapping[str, bytes | Path], message: str, *, progress: Progress) -> str:
        """Commit files, as `Snapshot.add` says."""
        from huggingface_hub import CommitOperationAdd

        progress(f"pushing {counted(len(files), 'file')} to {self.place}")
        with self.remote.refusals(), _without_bars():
            made = self._api.create_commit(
                self.remote.name,
                [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()],
                commit_message=message,
                repo_type=_KIND,
                revision=self.remote.branch,
                parent_commit=self.sha,
            )
        return str(made.oid)


def _transport_error() -> type[Exception]:
    """The error of the HTTP library beneath, of which `huggingface_hub` makes its own."""
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    return HTTPError


def _file(one: "RepoFile") -> RemoteFile:
    """A file of the library's listing; one in large-file storage is known by the digest of what it holds."""
    return RemoteFile(size=one.size, digest=f"sha256:{one.lfs.sha256}" if one.lfs else f"git:{one.blob_id}")


@contextmanager
def _without_bars() -> Iterator[None]:
    """The library draws no bars of its own."""
    from huggingface_hub import utils

    before = utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            utils.enable_progress_bars()


def _reason(error: Exception) -> str:
    """The status and the words of the hub, or what the network says."""
    if (response := getattr(error, "response", None)) is not None:
        words = getattr(error, "server_message", None) or response.reason_phrase
        said = f"{response.status_code} {words}"
    else:
        said = str(error.__cause__ or error) or type(error).__name__
    return plain("; ".join(line.strip() for line in said.splitlines() if line.strip()))[:_REASON]
