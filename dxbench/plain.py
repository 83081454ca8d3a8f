"""Text of strangers made safe to show: no control character, no mark that reorders what a reader sees."""

import re

# C0 and C1 controls, line and paragraph separators, marks and isolates that change the direction of what follows
# (Unicode UAX 9; "Trojan Source", CVE-2021-42574), invisible operators and tags, halves of surrogate pairs.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\U000e0000-\U000e0fff\ud800-\udfff]"
)


def is_plain(text: str) -> bool:
    """Whether a reader sees all of a text, in its order."""
    return _UNSAFE.search(text) is None


def plain(text: str) -> str:
    """The text with what `is_plain` objects to spelled out, such as `<U+001B>`."""
    return _UNSAFE.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)
