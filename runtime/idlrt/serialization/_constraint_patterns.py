"""Regular expressions of constraints. They have the meaning of Go's (RE2): the names and their checkers are Go's.

Differences that matter are translated (`$` is the end of the text only, classes such as `\\d` are ASCII) or refused
(what only Python knows: lookaround, backreferences; what only Go knows: `[[:alpha:]]`, `\\pL`).

Unlike RE2, Python's `re` backtracks, and some expressions take time exponential in the length of the text, such as
`(a+)+$`. The author of the IDL is trusted not to write these. Against others, which take quadratic time, the length of
the text is limited to `MAX_LENGTH`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

__all__ = ["MAX_LENGTH", "compile_pattern"]

MAX_LENGTH: Final = 4096
"""Length of a text that is matched, in characters (binary: bytes). Longer text violates the constraint."""

_MULTILINE: Final = re.compile(r"\(\?[a-zA-Z]*m")
_ONLY_PYTHON: Final = ("(?=", "(?!", "(?<", "(?>", "(?(", "(?P=", "(?#")


def compile_pattern(pattern: str, *, is_binary: bool) -> Callable[[Any], bool]:
    """Return the function that tells whether text, or binary, contains a match.

    Raises:
        ValueError: the expression is invalid, or has a construct of Python or Go that the other does not have.
    """
    text = _as_python(pattern)
    try:
        search = (re.compile(text.encode()) if is_binary else re.compile(text, re.ASCII)).search
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"invalid regular expression: {error}") from None

    def matches(value: Any) -> bool:
        return len(value) <= MAX_LENGTH and search(value) is not None

    return matches


def _as_python(pattern: str) -> str:
    end = "$" if _MULTILINE.search(pattern) else r"\Z"
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        size = 1
        if character == "\\":
            size, character = 2, _escape(pattern[at : at + 2])
        elif character == "[":
            character = _class_at(pattern, at)
            size = len(character)
        elif character == "(" and pattern.startswith(_ONLY_PYTHON, at):
            raise ValueError(f"unsupported construct {pattern[at : at + 3]!r}")
        parts.append(end if character == "$" else character)
        at += size
    return "".join(parts)


def _escape(text: str) -> str:
    if text[1:].isdigit() and text != r"\0":
        raise ValueError(f"unsupported construct {text!r}")
    return r"\Z" if text == r"\z" else text


def _class_at(pattern: str, start: int) -> str:
    """Return the text of the character class that starts at an index."""
    at = start + 2 if pattern.startswith("[^", start) else start + 1
    first = at
    while at < len(pattern) and (pattern[at] != "]" or at == first):
        if pattern.startswith("[:", at):
            raise ValueError("unsupported construct '[:'")
        at += 2 if pattern[at] == "\\" else 1
    return pattern[start : at + 1]
