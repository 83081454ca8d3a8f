"""The table of contents of a bundle, and the commitment that its challenge follows from."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from dxbench.api import Frozen, canonical_json, refusal
from dxbench.errors import InvalidFile

MANIFEST_SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"

Name = Annotated[str, Field(pattern=NAME)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class SampleCommitment(Frozen):
    """Every sample of a run, as hashes.

    Attributes:
        dtype: NumPy's, with byte order, such as "<f4".
        event_shape: of one sample.
        array_sha256: of the whole array; the record names it too.
        blocks: sha256 of every block of samples (`dxbench.submissions.challenge`).
    """

    count: Annotated[int, Field(ge=1, le=10_000_000)]
    dtype: Literal["<f4", "<f8", "<f2", "|u1"]
    event_shape: Annotated[list[Annotated[int, Field(ge=1, le=1_000_000)]], Field(max_length=8)]
    array_sha256: Sha256
    blocks: list[Sha256]


class RunEntry(Frozen):
    """One run; `samples` is None for a model without samples and for a run that did not end well."""

    run_id: Name
    seed: Count
    record_sha256: Sha256
    samples: SampleCommitment | None


class Manifest(Frozen):
    """One configuration over its seeds.

    Attributes:
        nfe: network evaluations per sample that the submission declares.
    """

    schema_version: Literal[1] = MANIFEST_SCHEMA_VERSION
    task: Name
    task_version: int
    method: Name
    method_version: int
    config_id: Name
    nfe: float | None
    runs: Annotated[list[RunEntry], Field(min_length=1, max_length=1000)]

    def text(self) -> bytes:
        """The one text of this manifest."""
        return canonical_json(self.model_dump(mode="json")).encode() + b"\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def record_member(run_id: str) -> str:
    return f"records/{run_id}.json"


def samples_member(run_id: str) -> str:
    return f"samples/{run_id}.npy"


def parse_manifest(text: bytes) -> Manifest:
    """A manifest from its text.

    Raises:
        InvalidFile: if it is none, of another schema, or not written in its one form.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"not readable as JSON ({error})") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != MANIFEST_SCHEMA_VERSION:
        newer = isinstance(version, int) and version > MANIFEST_SCHEMA_VERSION
        remedy = "update dxbench to read it" if newer else "pack it again with `dxbench submit`"
        raise InvalidFile(
            f"schema_version {version!r}, this dxbench reads manifests of {MANIFEST_SCHEMA_VERSION}; {remedy}"
        )
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        raise InvalidFile(f"not a valid manifest ({refusal(error)})") from None
    if manifest.text() != text:
        raise InvalidFile("not written in the canonical form, from which the challenge follows")
    return manifest
