"""Text for people: counts with their nouns, and text of strangers made safe, with no mark that reorders it."""

import re

# C0 and C1 controls, line and paragraph separators, marks and isolates that change the direction of what follows
# (Unicode UAX 9; "Trojan Source", CVE-2021-42574), what takes no room (soft hyphens, fillers, invisible operators,
# tags), no characters at all, halves of surrogate pairs.
_UNSAFE = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffc\ufffe\uffff\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff"
)
_WITHIN_A_LINE = re.compile(f"[{_UNSAFE}]")
_ANYWHERE = re.compile(f"[\n{_UNSAFE}]")


def counted(count: float, word: str, plural: str = "") -> str:
    """A count with its noun, such as "1 record", "2,000 records" and, of 1.0, "1 pass"; `plural` if no s makes it."""
    shown = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{shown} {word if count == 1 else plural or f'{word}s'}"


def shown_number(number: float | None) -> str:
    """A number without decimals that say nothing, such as "4" of 4.0; "none" of None."""
    return "none" if number is None else f"{number:g}"


def flowing(text: str) -> str:
    """A docstring with a line for each paragraph, to be broken where it is shown; lists and code stay as they are."""
    paragraphs = [part.splitlines() for part in text.split("\n\n")]
    return "\n\n".join(
        "\n".join(lines) if any(line[:1] in {"*", "-", " "} for line in lines) else " ".join(lines)
        for lines in paragraphs
    )


def is_plain(text: str) -> bool:
    """True where a reader sees all of a text, in its order."""
    return _ANYWHERE.search(text) is None


def plain(text: str) -> str:
    """The text in one line, with what `is_plain` objects to spelled out, such as `<U+001B>`."""
    return _ANYWHERE.sub(_spelled, text)


def plain_lines(text: str) -> str:
    """Make a text plain as `plain` does, where its lines are its own."""
    return _WITHIN_A_LINE.sub(_spelled, text)


def plain_markup(text: str) -> str:
    """Make HTML or XML plain as `plain_lines` does, where the spelling must be no tag."""
    return _WITHIN_A_LINE.sub(lambda found: f"&lt;{_spelled(found)[1:-1]}&gt;", text)


def _spelled(found: re.Match[str]) -> str:
    return f"<U+{ord(found[0]):04X}>"
