"""Text for terminals, logs and error messages: escaped control characters, masked passwords, nouns that agree.

Text that registries, servers, configuration and peers send is untrusted: an escape sequence in it would move the cursor
or set the title of a terminal, a bidirectional override would show one name as another, a zero-width character would
make two names look alike, and a line break would forge a log line.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["escape_json", "mask_passwords", "plural", "printable"]

# Control and format characters (bidirectional, zero-width), surrogates, private use, line separators.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Letters by category that render as blank.
_BLANK: Final = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_OTHER: Final = re.compile(r"[^ -~]")


def plural(count: int, noun: str, plural: str = "") -> str:
    """Return the count and its noun in agreement: "1 byte", "2 bytes".

    Args:
        plural: the plural of nouns that do not just add an "s", e.g. "addresses".
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def printable(text: str, *, keep: str = "") -> str:
    r"""Return `text` with each character that a terminal would not show as itself escaped, as `\x1b` or `\u202e`.

    Args:
        keep: characters to leave unescaped, e.g. line breaks in multi-line text.
    """
    if text.isascii() and text.isprintable():
        return text
    return _OTHER.sub(lambda found: found[0] if found[0] in keep else _shown(found[0]), text)


def escape_json(text: str) -> str:
    """Return equivalent JSON text with unsafe characters as JSON escapes; line breaks and tabs stay."""
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


# A scheme, any number of slashes, and a user. Then the password, up to the last `@`: an unquoted password may contain
# any character.
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]*:"
_NAME: Final = r"[^:@/\s'\"`(]"
_USER: Final = rf"((?:{_SCHEME}/+{_NAME}*|{_SCHEME}{_NAME}+|{_NAME}+)):(?!/)"
_LOGIN: Final = re.compile(rf"{_USER}[^\s]+@")
_LOGIN_OF_URL: Final = re.compile(rf"{_USER}.+@", re.DOTALL)
_OPTION: Final = re.compile(r"([?&;](?:token|password|passwd|pwd|secret|api_?key)=)[^&;\s'\"]*", re.IGNORECASE)


def mask_passwords(text: str, *, is_url: bool = False) -> str:
    """Return `text` with the passwords and tokens of URLs in it replaced by `***`, well-formed or not.

    Errs on the side of masking too much: everything between `USER:` and the last `@` of a word.

    Args:
        is_url: whether `text` as a whole is one URL, so that the password may contain spaces.
    """
    if "@" in text:
        text = (_LOGIN_OF_URL if is_url else _LOGIN).sub(r"\1:***@", text)
    return _OPTION.sub(r"\1***", text) if "=" in text else text
