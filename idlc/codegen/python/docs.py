"""Docstrings and comments from IDL text, already as `black` leaves them.

All of it comes from outside, so nothing of it may end the comment or the docstring that it is written into.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["comment_text", "docstring"]


def comment_text(text: str) -> str:
    """Return `text` as it may stand in a comment: on one line, with everything that is not printable escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def docstring(text: str | None, indent: int, sections: Sequence[str] = ()) -> list[str]:
    """The lines of a docstring; none if there is nothing to say.

    Args:
        text: the comment, may have several lines.
        sections: what follows it, each after a blank line.
    """
    parts = [_clean(part) for part in (text or "", *sections)]
    body = "\n\n".join(part for part in parts if part).split("\n")
    if body == [""]:
        return []
    body[1:] = _dedented(body[1:])
    margin = " " * indent
    if len(body) == 1:
        line = body[0]
        if line.startswith('"'):
            line = " " + line
        if line.endswith('"') or _ends_in_backslash(line):
            line += " "
        return [f'{margin}"""{line}"""']
    first = " " + body[0] if body[0].startswith('"') else body[0]
    rest = [margin + line if line else "" for line in body[1:]]
    return [f'{margin}"""{first}', *rest, f'{margin}"""']


def _clean(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    text = "".join(c if c == "\n" or c.isprintable() else " " for c in text.expandtabs(8))
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    if lines:
        lines[0] = lines[0].lstrip()
    return "\n".join(lines)


def _dedented(lines: list[str]) -> list[str]:
    """Without the indentation that all lines share, as the first line is not counted."""
    shared = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[shared:] for line in lines]


def _ends_in_backslash(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1
