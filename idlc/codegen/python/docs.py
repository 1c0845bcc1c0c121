"""Write docstrings and comments from IDL text, as `black` formats them.

The text comes from outside, so none of it may end the comment or the docstring that it is written into.
"""

from __future__ import annotations

__all__ = ["comment_text", "docstring", "text_of"]


def comment_text(text: str) -> str:
    """Return `text` on one line, with all characters escaped that are not printable."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def text_of(comment: str | None) -> str | None:
    """Return a comment without blank lines around it; `None` if a docstring would have no text."""
    if not comment:
        return None
    is_blank = not any(c.isprintable() and not c.isspace() for c in comment)
    return None if is_blank else comment.lstrip("\n").rstrip()


def docstring(text: str, indent: int = 0) -> str:
    """Return a docstring with quotes and margin, without a line end; empty if there is no text.

    The filter `docstring` of templates.

    Args:
        text: may have several lines. Its first line sets no indentation: the one that the others share is removed.
        indent: the margin in spaces.
    """
    body = _clean(text).split("\n")
    if body == [""]:
        return ""
    body[1:] = _dedented(body[1:])
    margin = " " * indent
    if len(body) == 1:
        line = body[0]
        if line.startswith('"'):
            line = " " + line
        if line.endswith('"') or _ends_in_backslash(line):
            line += " "
        return f'{margin}"""{line}"""'
    first = " " + body[0] if body[0].startswith('"') else body[0]
    rest = [margin + line if line else "" for line in body[1:]]
    return "\n".join([f'{margin}"""{first}', *rest, f'{margin}"""'])


def _clean(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = [_printable(line).rstrip() for line in text.expandtabs(8).split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    if lines:
        lines[0] = lines[0].lstrip()
    return "\n".join(lines)


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else " " for c in line)


def _dedented(lines: list[str]) -> list[str]:
    """Remove the indentation that all lines share."""
    shared = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[shared:] for line in lines]


def _ends_in_backslash(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1
