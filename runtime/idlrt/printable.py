"""Text from outside, made fit for terminals, logs and error messages: control characters are escaped, passwords masked.

What registries, servers, settings and peers say is not ours: an escape sequence in it would move the cursor or set
the title of a terminal, a bidirectional override would show one name as another, a zero-width character would make two
names look alike, and a line break would forge a line of a log.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["escape_json", "mask_passwords", "printable"]

# Controls, formats (bidirectional and zero-width ones), halves of characters, private ones, separators of lines.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Letters by category that are shown as nothing.
_BLANK: Final = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_OTHER: Final = re.compile(r"[^ -~]")


def printable(text: str, *, keep: str = "") -> str:
    r"""Return `text` with each character that a terminal would not show as itself escaped, as `\x1b` or `\u202e`.

    Args:
        keep: characters that stay, such as line breaks of a text of several lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return _OTHER.sub(lambda found: found[0] if found[0] in keep else _shown(found[0]), text)


def escape_json(text: str) -> str:
    """Return JSON text that means the same, with such characters escaped as JSON has it; line breaks stay."""
    if text.isascii() and text.isprintable():
        return text

    def escaped(found: re.Match[str]) -> str:
        character = found[0]
        if character in "\n\t" or not _is_unsafe(character):
            return character
        units = character.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))

    return _OTHER.sub(escaped, text)


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE or character in _BLANK


def _shown(character: str) -> str:
    if not _is_unsafe(character):
        return character
    named = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(character)
    if named is not None:
        return named
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# A scheme, with as many slashes as somebody may have written, and a user. Then the password, to the last `@`: unless it
# is quoted it may hold anything.
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*:"
_NAME: Final = r"[^:@/\s'\"`(]"
_USER: Final = rf"((?:{_SCHEME}/+{_NAME}*|{_SCHEME}{_NAME}+|{_NAME}+)):(?!/)"
_LOGIN: Final = re.compile(rf"{_USER}[^\s]+@")
_LOGIN_OF_URL: Final = re.compile(rf"{_USER}.+@", re.DOTALL)
_OPTION: Final = re.compile(r"([?&;](?:token|password|passwd|pwd|secret|api_?key)=)[^&;\s'\"]*", re.IGNORECASE)


def mask_passwords(text: str, *, is_url: bool = False) -> str:
    """Return `text` with the passwords and tokens of URLs in it replaced by `***`, well-formed or not.

    Rather too much is masked than too little: what stands between `USER:` and the last `@` of a word.

    Args:
        is_url: all of `text` is meant to be one URL, so that a password with spaces is one as well.
    """
    if "@" in text:
        text = (_LOGIN_OF_URL if is_url else _LOGIN).sub(r"\1:***@", text)
    return _OPTION.sub(r"\1***", text) if "=" in text else text
