"""Records on disk: results/<task>/<method>/<run>.json, written atomically, read with suspicion.

A record has two forms in JSON. Where it lies among others it names its protocols and its card by their fingerprints
(`records_parts`); where it travels, as in a bundle, it is whole. In either, what equals its default is left out.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from dxbench.api import RECORD_SCHEMA_VERSION, Curve, Precision, ResultRecord, RunFacts, refusal, short_hash
from dxbench.errors import InvalidFile
from dxbench.files.reading import read_regular
from dxbench.files.writing import write_text_atomically
from dxbench.records import parts

if TYPE_CHECKING:
    pass

RECORD_LIMIT = 4 * 2**20
"""Bytes of a record: a curve takes 1,500 at most, so that 2,000 of them fit; the largest on record has 14,000."""
_REASON = 300
"""Characters of a reason, which may quote what a file holds."""


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
    """The precision of the networks; a record without cost says nothing, and counts as float32."""
    return record.cost.precision if record.cost else "32"


def work_folder(home: Path, *, task: str, method: str, run_id: str) -> Path:
    """The folder of a run's checkpoints, arrays and report."""
    return home / "work" / task / method / run_id


def record_path(results: Path, record: ResultRecord) -> Path:
    return results / record.task / record.method / f"{record.run_id}.json"


def write_record(results: Path, record: ResultRecord) -> Path:
    """Write one record and what it names; the same run written again replaces itself.

    A file in its place that is no readable record is kept beside it, as <run>.json.unreadable-1 and so on.
    """
    parts.write_parts(results, record)
    path = record_path(results, record)
    if path.exists() and isinstance(read_record(path), Unreadable):
        number = len(list(path.parent.glob(f"{path.name}.unreadable-*"))) + 1
        path.rename(path.with_name(f"{path.name}.unreadable-{number}"))
    write_text_atomically(path, stored_text(record))
    return path


class StoredRecord(RunFacts):
    """A record as it lies among others: `card` and `protocols` are fingerprints; None for those of the scores."""

    card: str
    protocols: list[str] | None = None


_DIGEST = re.compile(rb',\s*"sha256":\s*"([0-9a-f]{64})"\s*}\s*\Z')
_DIGEST_WITHIN = 200
"""Bytes at the end of a file that hold its digest."""


def stored_text(record: ResultRecord) -> str:
    """A record as it stands in its file among others."""
    protocols = None if list(record.protocols) == _measured_by(record) else list(record.protocols)
    named = {"card": record.card.fingerprint, "protocols": protocols}
    return _sealed(StoredRecord.model_construct(**(vars(record) | named)))


def _measured_by(record: RunFacts) -> list[str]:
    """Fingerprints of the scores, in their order."""
    return list(dict.fromkeys(estimate.fingerprint for estimate in record.scores.values()))


def record_text(record: ResultRecord) -> str:
    """A record as it travels, whole."""
    return _sealed(record)


def _sealed(record: RunFacts) -> str:
    """A line of JSON that ends with the digest of all that goes before it."""
    fields = {"schema_version": record.schema_version} | record.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(fields, separators=(",", ":")).removesuffix("}")
    return f'{text},"sha256":"{_digest(text.encode())}"}}\n'


def _digest(text: bytes) -> str:
    """Whatever a checkout makes of the ends of lines."""
    return hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()


def _parted(text: bytes) -> tuple[bytes, str]:
    """Split a file's name into what goes before the digest, and the digest; "" in records from before there was one."""
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


_FAMILIES = {"energy": "energy-based", "yardstick": "reference"}
"""Families of methods that had two names, or another than their marks in tables."""


def _from_2(data: dict[str, Any]) -> dict[str, Any]:
    """Schema 3 thins curves and renames families; that it names protocols and card is the file's business."""
    curves = TypeAdapter(dict[str, Curve]).validate_python(data.get("curves", {}), strict=True)
    card = data.get("card")
    if isinstance(card, dict) and card.get("family") in _FAMILIES:
        data = data | {"card": card | {"family": _FAMILIES[card["family"]]}}
    return data | {
        "schema_version": 3,
        "curves": {name: curve.thinned().model_dump() for name, curve in curves.items()},
    }


MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2}
"""From each older schema to the next."""


def migrate(data: dict[str, Any]) -> dict[str, Any]:
    """A record's fields in today's schema.

    Raises:
        ValueError: for a schema version that is none of ours, or newer than this dxbench.
    """
    while (version := data["schema_version"]) != RECORD_SCHEMA_VERSION:
        if type(version) is not int or version not in MIGRATIONS:
            newer = type(version) is int and version > RECORD_SCHEMA_VERSION
            raise ValueError(
                f"schema_version {version!r}, this dxbench reads {min(MIGRATIONS)} to {RECORD_SCHEMA_VERSION}"
                f"{'; update dxbench to read it' if newer else ''}"
            )
        data = MIGRATIONS[version](data)
    return data


def read_record(path: str | Path) -> ResultRecord | Unreadable:
    """One record, older ones in today's schema, or the reason why the file is none.

    Never raises, whatever the file is or holds, and opens nothing but regular files, the record of at most
    `RECORD_LIMIT` bytes.
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
    record = _parsed(text, path, StoredRecord)
    if isinstance(record, StoredRecord):
        record = _joined(record, path)
    if isinstance(record, Unreadable):
        return record
    contradiction = _contradiction(record)
    return _unreadable(path, f"contradicts itself ({contradiction})") if contradiction else record


def _joined(stored: StoredRecord, path: str | Path) -> ResultRecord | Unreadable:
    """A record with what it names."""
    results = parts.folder_of(os.path.dirname(path))  # noqa: PTH120 (a Path costs as much as the call)
    try:
        names = _measured_by(stored) if stored.protocols is None else stored.protocols
        protocols = {name: parts.protocol(results, name) for name in names}
        card = parts.card(results, stored.card)
    except InvalidFile as error:
        return _unreadable(path, str(error))
    return ResultRecord.model_construct(**(vars(stored) | {"card": card, "protocols": protocols}))


def _contradiction(record: ResultRecord) -> str:
    """The contradiction of a record that says a thing twice; "" where it does not."""
    made = f"{config_id_of(record)}-s{record.seed}"
    if record.run_id != made:
        return f"run_id {record.run_id}, of its configuration and seed {made}"
    for fingerprint, protocol in record.protocols.items():
        if protocol.fingerprint != fingerprint:
            return f"protocols.{fingerprint}: its content has the fingerprint {protocol.fingerprint}"
    return ""


def parse_record(text: bytes, *, path: Path) -> ResultRecord | Unreadable:
    """A record from its text as it travels; `path` is where it was found. Never raises for what the text is.

    The digest in the text is not looked at: that of a bundle's manifest covers all of it.
    """
    record = _parsed(text, path, ResultRecord)
    if isinstance(record, StoredRecord):
        return _unreadable(path, "names its protocols and card by fingerprint, where it has to hold them")
    return record


def _parsed(text: bytes, path: str | Path, form: type[StoredRecord | ResultRecord]) -> "_Parsed":
    """A record of the form that is expected, else of what form it is, or why it is none."""
    content, digest = _parted(text)
    text = content + b"}" if digest else content
    try:
        return form.model_validate_json(text, strict=True)
    except ValueError:  # ValidationError is one; integers of more than 4,300 digits raise another
        return _read_again(path, text)


_Parsed = StoredRecord | ResultRecord | Unreadable


def _read_again(path: str | Path, text: bytes) -> _Parsed:
    """Read again what was refused as a record of today: in the other form, an older one, or to say why it is none."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _unreadable(path, f"not readable as JSON ({error})")
    if not isinstance(data, dict) or "schema_version" not in data:
        return _unreadable(path, "not a dxbench record (no schema_version)")
    form = StoredRecord if isinstance(data.get("card"), str) else ResultRecord
    try:
        return form.model_validate_json(json.dumps(migrate(data)), strict=True)
    except ValidationError as error:
        return _unreadable(path, f"not a valid record ({refusal(error)})")
    except (ValueError, RecursionError) as error:
        return _unreadable(path, str(error))


def _unreadable(path: str | Path, reason: str) -> Unreadable:
    return Unreadable(path=Path(path), reason=reason if len(reason) <= _REASON else f"{reason[:_REASON]}…")
