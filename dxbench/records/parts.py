"""Parts that many records share, once each: protocols/ and cards/ of a folder of records, a file per fingerprint.

A file's name is the fingerprint of its content, so that it is checked whenever it is read, folders of records merge by
copying, and several writers of one file write the same. It is written before the record that names it.
"""

import json
import os
import re
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from dxbench.api import MethodCard, MetricProtocol, ResultRecord, refusal
from dxbench.errors import InvalidFile
from dxbench.files.reading import read_regular
from dxbench.files.writing import sweep_temporaries, write_text_atomically

PROTOCOLS, CARDS = "protocols", "cards"
PART_LIMIT = 2**20
"""Bytes of one; the largest has 2,000."""
_FINGERPRINT = re.compile("[0-9a-f]{16}")
_FORMS = {PROTOCOLS: MetricProtocol, CARDS: MethodCard}
_REMEDY = "take it from where the record comes from, or from git"


def write_parts(results: Path, record: ResultRecord) -> None:
    """Write the protocols and the card of a record, but for those that are there and sound."""
    for place, text in part_texts(record).items():
        if not is_sound(results, place):
            write_text_atomically(results / place, text)


def part_texts(record: ResultRecord) -> dict[str, str]:
    """The text of each protocol and of the card of a record, by where it lies in a folder of records."""
    parts: dict[str, MetricProtocol | MethodCard] = {
        f"{PROTOCOLS}/{name}.json": protocol for name, protocol in record.protocols.items()
    }
    parts[f"{CARDS}/{record.card.fingerprint}.json"] = record.card
    # Fields stay in their order.
    return {
        place: f"{json.dumps(part.model_dump(mode='json'), separators=(',', ':'))}\n" for place, part in parts.items()
    }


def is_sound(results: Path, place: str) -> bool:
    """True where a part is there and has the content that its name says."""
    kind, _, file = place.partition("/")
    try:
        _read(str(results), kind, file.removesuffix(".json"))
    except InvalidFile:
        return False
    return True


def sweep_parts(results: Path) -> None:
    """Remove what writers of parts left when they were killed."""
    for kind in (PROTOCOLS, CARDS):
        sweep_temporaries(results / kind)


def protocol(results: str, fingerprint: str) -> MetricProtocol:
    """The protocol of a fingerprint; raises InvalidFile where it is missing or altered."""
    found = _known(results, PROTOCOLS, fingerprint)
    assert isinstance(found, MetricProtocol)
    return found


def card(results: str, fingerprint: str) -> MethodCard:
    """The card of a fingerprint; raises InvalidFile where it is missing or altered."""
    found = _known(results, CARDS, fingerprint)
    assert isinstance(found, MethodCard)
    return found


@lru_cache(maxsize=1024)
def folder_of(place: str) -> str:
    """The folder of records that a folder with record files belongs to: <results>/<task>/<method>.

    For records that were copied alone, the nearest above them that has protocols.
    """
    place = os.path.abspath(place)  # noqa: PTH100 (boards read many; a Path costs as much as the call)
    up = [place, os.path.dirname(place), os.path.dirname(os.path.dirname(place))]  # noqa: PTH120
    return next((folder for folder in up if os.path.isdir(f"{folder}/{PROTOCOLS}")), up[-1])  # noqa: PTH112


def _read(results: str, kind: str, fingerprint: str) -> MetricProtocol | MethodCard:
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise InvalidFile(f"it names {fingerprint!r} among its {kind}, which is no fingerprint")
    path = f"{results}/{kind}/{fingerprint}.json"
    try:
        part = _FORMS[kind].model_validate_json(read_regular(path, limit=PART_LIMIT), strict=True)
    except FileNotFoundError:
        raise InvalidFile(
            f"it names {path}, which is missing; copy {PROTOCOLS}/ and {CARDS}/ there from the folder of records that "
            "it comes from"
        ) from None
    except (OSError, InvalidFile, ValueError) as error:
        reason = refusal(error) if isinstance(error, ValidationError) else error
        raise InvalidFile(f"it names {path}, which cannot be read ({reason}); {_REMEDY}") from None
    if part.fingerprint != fingerprint:
        raise InvalidFile(f"it names {path}, which has the fingerprint {part.fingerprint}: changed since; {_REMEDY}")
    return part


_known = lru_cache(maxsize=4096)(_read)
"""Once read, a part is known for good: its fingerprint vouches for it. What could not be read is read again."""
