"""Records on disk: results/<task>/<method>/<run>.json, written atomically, read with suspicion."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, ValidationError

from dxbench.api import RECORD_SCHEMA_VERSION, Precision, ResultRecord, short_hash
from dxbench.errors import InvalidFile
from dxbench.files.reading import read_regular
from dxbench.files.writing import atomic_file, write_text_atomically

if TYPE_CHECKING:
    import numpy as np

RECORD_LIMIT = 4 * 2**20
"""Bytes of a record: a curve takes 7,000 at most, so that 600 of them fit; the largest on record has 43,000 in all."""
_REASON = 300
"""Characters of a reason, which may quote what a file holds."""


def save_arrays(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """A compressed npz, through `atomic_file`."""
    import numpy as np

    with atomic_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def config_id(
    task: str,
    task_version: int,
    method: str,
    method_version: int,
    config: Mapping[str, JsonValue],
    *,
    precision: Precision = "32",
) -> str:
    """Ten hex digits over task, method, their versions, configuration and precision; the same for every seed.

    Networks in less than float32 make another row; float32 adds nothing to what is hashed.
    """
    beside = [] if precision == "32" else [precision]
    return short_hash([task, task_version, method, method_version, dict(config), *beside], digits=10)


def config_id_of(record: ResultRecord) -> str:
    """The `config_id` that a record belongs to."""
    return config_id(
        record.task,
        record.task_version,
        record.method,
        record.method_version,
        record.config,
        precision=precision_of(record),
    )


def precision_of(record: ResultRecord) -> Precision:
    """Of the networks; a record without cost says nothing, and counts as float32."""
    return record.cost.precision if record.cost else "32"


def work_folder(home: Path, *, task: str, method: str, run_id: str) -> Path:
    """Where a run keeps its checkpoints, arrays and report."""
    return home / "work" / task / method / run_id


def array_sha256(array: "np.ndarray") -> str:
    """Of dtype, shape and the bytes in C order, so that equal hashes mean equal arrays."""
    digest = hashlib.sha256(f"{array.dtype.str} {list(array.shape)} ".encode())
    digest.update(array.tobytes())
    return digest.hexdigest()


def record_path(results: Path, record: ResultRecord) -> Path:
    return results / record.task / record.method / f"{record.run_id}.json"


def write_record(results: Path, record: ResultRecord) -> Path:
    """Write one record; the same run written again replaces itself.

    A file in its place that is no readable record is kept beside it, as <run>.json.unreadable-1 and so on.
    """
    path = record_path(results, record)
    if path.exists() and isinstance(read_record(path), Unreadable):
        number = len(list(path.parent.glob(f"{path.name}.unreadable-*"))) + 1
        path.rename(path.with_name(f"{path.name}.unreadable-{number}"))
    write_text_atomically(path, record_text(record))
    return path


_DIGEST = re.compile(rb',\s*"sha256":\s*"([0-9a-f]{64})"\s*}\s*\Z')
_DIGEST_WITHIN = 200
"""Bytes at the end of a file that hold its digest."""


def record_text(record: ResultRecord) -> str:
    """A record as it stands in its file, which ends with the digest of all that goes before it."""
    text = json.dumps(record.model_dump(mode="json"), indent=1).removesuffix("\n}")
    return f'{text},\n "sha256": "{_digest(text.encode())}"\n}}\n'


def _digest(text: bytes) -> str:
    """Whatever a checkout makes of the ends of lines."""
    return hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()


def _parted(text: bytes) -> tuple[bytes, str]:
    """What goes before the digest of a file, and the digest; "" in records from before there was one."""
    text = _utf8(text)
    found = _DIGEST.search(text, max(0, len(text) - _DIGEST_WITHIN))
    return (text[: found.start()], found[1].decode()) if found else (text, "")


def _utf8(text: bytes) -> bytes:
    """The text of a file that an editor may have put into another Unicode encoding."""
    encoding = json.detect_encoding(text)
    try:
        return text if encoding == "utf-8" else text.decode(encoding).encode()
    except UnicodeError:
        return text


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file among the records that is not one of ours, and why. It is left as it is."""

    path: Path
    reason: str


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 adds card, selected_on_test and samples_sha256, each with a default that says "not known"."""
    return data | {"schema_version": 2}


MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
"""From each older schema to the next."""


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """A record's fields in today's schema.

    Raises:
        ValueError: for a schema version that is none of ours, or newer than this dxbench.
    """
    while (version := data["schema_version"]) != RECORD_SCHEMA_VERSION:
        if type(version) is not int or version not in MIGRATIONS:
            raise ValueError(
                f"schema_version {version!r}, this dxbench reads {min(MIGRATIONS)} to {RECORD_SCHEMA_VERSION}"
            )
        data = MIGRATIONS[version](data)
    return data


def read_record(path: str | Path) -> ResultRecord | Unreadable:
    """One record, older ones in today's schema, or the reason why the file is none.

    Never raises, whatever the file is or holds, and opens nothing but a regular file of at most `RECORD_LIMIT` bytes.
    """
    try:
        text = read_regular(path, limit=RECORD_LIMIT)
    except OSError as error:
        return _unreadable(path, f"not readable ({error.strerror})")
    except (InvalidFile, ValueError) as error:  # a name with a zero byte is a ValueError
        return _unreadable(path, str(error))
    content, digest = _parted(text)
    if digest and digest != _digest(content):
        return _unreadable(path, "changed since it was written: its sha256 is that of other content")
    record = parse_record(text, path=Path(path))
    if isinstance(record, Unreadable):
        return record
    contradiction = _contradiction(record)
    return _unreadable(path, f"contradicts itself ({contradiction})") if contradiction else record


def _contradiction(record: ResultRecord) -> str:
    """Where what a record says twice differs; "" where it does not."""
    made = f"{config_id_of(record)}-s{record.seed}"
    if record.run_id != made:
        return f"run_id {record.run_id}, of its configuration and seed {made}"
    for fingerprint, protocol in record.protocols.items():
        if protocol.fingerprint != fingerprint:
            return f"protocols.{fingerprint}: its content has the fingerprint {protocol.fingerprint}"
    return ""


def parse_record(text: bytes, *, path: Path) -> ResultRecord | Unreadable:
    """A record from the text of its file; `path` is where it was found. Never raises for what the text is.

    The digest in the text is not looked at: that of a bundle's manifest covers all of it.
    """
    content, digest = _parted(text)
    text = content + b"}" if digest else content
    try:
        return ResultRecord.model_validate_json(text, strict=True)
    except ValueError:  # ValidationError is one; integers of more than 4,300 digits raise another
        return _read_again(path, text)


def _read_again(path: Path, text: bytes) -> ResultRecord | Unreadable:
    """What was refused as a record of today: an older one, or why it is none."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _unreadable(path, f"not readable as JSON ({error})")
    if not isinstance(data, dict) or "schema_version" not in data:
        return _unreadable(path, "not a dxbench record (no schema_version)")
    try:
        return ResultRecord.model_validate_json(json.dumps(migrate(data)), strict=True)
    except ValidationError as error:
        return _unreadable(path, f"not a valid record ({refusal(error)})")
    except (ValueError, RecursionError) as error:
        return _unreadable(path, str(error))


def refusal(error: ValidationError) -> str:
    """Where a file was first refused, and why."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _unreadable(path: str | Path, reason: str) -> Unreadable:
    return Unreadable(path=Path(path), reason=reason if len(reason) <= _REASON else f"{reason[:_REASON]}…")
