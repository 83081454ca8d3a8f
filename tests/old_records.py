"""Records as earlier versions wrote them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from dxbench.api import ResultRecord
from dxbench.records.files import record_path

SINCE = {
    1: ("card", "selected_on_test", "samples_sha256", "samples_sketch", "submission", "withdrawn"),
    2: ("withdrawn",),
}
"""Fields that came later, by schema."""


def fields_then(record: ResultRecord, schema: int, **changes: Any) -> dict[str, Any]:
    """The fields of a record in schema 1 or 2: all of them, whole."""
    fields = record.model_dump(mode="json") | {"schema_version": schema} | changes
    return {name: value for name, value in fields.items() if name not in SINCE[schema]}


def text_then(record: ResultRecord, schema: int, **changes: Any) -> str:
    """The text of its file; one of schema 2 ends with its digest."""
    text = json.dumps(fields_then(record, schema, **changes), indent=1).removesuffix("\n}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}\n}}" if schema == 1 else f'{text},\n "sha256": "{digest}"\n}}\n'


def write_then(results: Path, record: ResultRecord, schema: int, **changes: Any) -> Path:
    """Write a record as it was written."""
    path = record_path(results, record)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_then(record, schema, **changes))
    return path
