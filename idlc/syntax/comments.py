"""Doc comments: detection, cleaning, and attachment to declarations.

A doc comment is `/** ... */`, or consecutive lines that start with `///`. It documents the declaration or member that
follows; with `<` (`///<`, `/**<`), the one before it on the same line. `/***/`, lines of asterisks and `////` are
ordinary comments. The first doc comment of a file documents the file if it is followed by a header or by another doc
comment, as in Apache Thrift (compiler/cpp/src/thrift/thrifty.yy, `declare_valid_program_doctext`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from idlc.syntax import nodes
from idlc.syntax.lexer import Token

__all__ = ["attach", "clean"]

_SILLY = re.compile(r"/\*\*+/|/\*\*[*\s]*\*/|/\*\*\*")
_Declared: TypeAlias = nodes.Definition | nodes.EnumMember | nodes.Field | nodes.Function
_HEADERS = (nodes.Include, nodes.ForeignInclude, nodes.Namespace)


def clean(comment: str) -> str:
    """Return the text of a doc comment without its markers, its left margin, and surrounding blank lines."""
    if comment.startswith("//"):
        lines = [line.strip().removeprefix("///").removeprefix("<") for line in comment.splitlines()]
    else:
        body = comment[3:-2].removeprefix("<").replace("\r", "")
        lines = body.rstrip().split("\n")
        lines[0] = lines[0].lstrip()
        rest = [line.lstrip() for line in lines[1:] if line.strip()]
        if rest and all(line.startswith("*") for line in rest):
            lines[1:] = [line.lstrip().removeprefix("*") for line in lines[1:]]
    lines = [line.rstrip().expandtabs(4) for line in lines]
    first = 0 if comment.startswith("//") else 1
    margin = min((len(line) - len(line.lstrip()) for line in lines[first:] if line), default=0)
    lines[first:] = [line[margin:] for line in lines[first:]]
    return "\n".join(lines).strip("\n").rstrip()


def attach(
    text: str, comments: Sequence[nodes.Comment], tokens: Sequence[Token], items: Sequence[nodes.Item]
) -> tuple[str | None, dict[int, str]]:
    """Return the doc comment of the file, or `None`, and those of declarations and members by their start offsets."""
    leading: dict[int, list[tuple[int, str]]] = {}
    trailing: list[nodes.Comment] = []
    starts = [token.start for token in tokens]
    for comment in _blocks(text, comments):
        if comment.text.startswith(("///<", "/**<")):
            trailing.append(comment)
        else:
            follower = starts[bisect_left(starts, comment.end)] if comment.end <= starts[-1] else starts[-1]
            leading.setdefault(follower, []).append((comment.start, clean(comment.text)))
    if not leading and not trailing:
        return None, {}
    docs = {start: texts[-1][1] for start, texts in leading.items() if texts[-1][1]}
    doc = _head(leading.get(starts[0], []), items, docs)
    if trailing:
        _attach_trailing(text, trailing, items, docs)
    return doc, docs


def _blocks(text: str, comments: Iterable[nodes.Comment]) -> Iterator[nodes.Comment]:
    """Yield the doc comments; consecutive `///` lines are joined."""
    run: nodes.Comment | None = None
    for comment in comments:
        is_line = comment.text.startswith("///") and not comment.text.startswith("////")
        if run is not None:
            gap = text[run.end : comment.start]
            if is_line and gap.count("\n") == 1 and not gap.strip() and not comment.text.startswith("///<"):
                run = nodes.Comment(run.start, comment.end, f"{run.text}\n{comment.text}")
                continue
            yield run
            run = None
        if is_line:
            run = comment
        elif comment.text.startswith("/**") and _SILLY.match(comment.text) is None and len(comment.text) > 4:
            yield comment
    if run is not None:
        yield run


def _head(first: list[tuple[int, str]], items: Sequence[nodes.Item], docs: dict[int, str]) -> str | None:
    if not first:
        return None
    if not items or isinstance(items[0], _HEADERS):
        docs.pop(items[0].start if items else -1, None)
        return first[0][1] or None
    return first[0][1] or None if len(first) > 1 else None


def _attach_trailing(
    text: str, trailing: Iterable[nodes.Comment], items: Sequence[nodes.Item], docs: dict[int, str]
) -> None:
    declared = [node for item in items for node in _declarations(item)]
    by_end = sorted(declared, key=lambda node: (node.end, -node.start))
    by_name = sorted(declared, key=lambda node: node.name.end)
    ends = [node.end for node in by_end]
    name_ends = [node.name.end for node in by_name]
    for comment in trailing:
        line = text.rfind("\n", 0, comment.start) + 1
        # The declaration that ends last before the comment or, if none ends on its line, the one whose name is on it
        # (`struct A { ///<`).
        owner: _Declared | None = None
        ended = bisect_right(ends, comment.start) - 1
        named = bisect_right(name_ends, comment.start) - 1
        if named >= 0 and name_ends[named] >= line and by_name[named].end > comment.start:
            owner = by_name[named]
        elif ended >= 0 and ends[ended] >= line:
            owner = by_end[ended]
        words = clean(comment.text)
        if owner is not None and words:
            before = docs.get(owner.start)
            docs[owner.start] = f"{before}\n{words}" if before else words


def _declarations(item: nodes.Item) -> Iterator[_Declared]:
    if isinstance(item, _HEADERS):
        return
    yield item
    if isinstance(item, nodes.Enum):
        yield from item.members
    elif isinstance(item, nodes.Struct):
        yield from item.fields
    elif isinstance(item, nodes.Service):
        for function in item.functions:
            yield function
            yield from function.arguments
            yield from function.throws
