"""Break long statements of generated code: the filter `wrap` of templates.

Templates write a statement on one line, or with one item a line between brackets. `wrap` puts it on one line where it
fits, and breaks it as `black` does where it does not. Most statements fit and are not parsed.

Only the statements that generated code has are understood: classes, signatures, imports, assignments with and without
an annotation, and expressions. Others stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from idlc.codegen.python.wrap import WIDTH, Group, Node, Pair, annotated, lines

__all__ = ["parse", "wrap"]

_STRING = r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^'\\]|\\.)*'"
_TOKEN = re.compile(rf"{_STRING}|[()\[\]{{}},]|[^\"'()\[\]{{}},]+")
_HEAD = re.compile(r"[\w.]*\Z")
_DEFINITION = re.compile(r"(?:async )?def \w+\(")
_IMPORT = re.compile(r"from (\S+) import ")
_ANNOTATED = re.compile(r"(\w+): ")

_OPENING = ("(", "[", "{")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class _NotUnderstood(ValueError):
    """The text is no statement of generated code."""


def wrap(text: str, *, one_each: bool = False) -> str:
    """Return statements with the line breaks of `black` if they are too long for one line.

    Args:
        one_each: between brackets that end and begin lines, several items always take one line each.
    """
    end = text.find("\n")
    if end <= WIDTH and end + 1 == len(text) and text[end - 1] not in "([{":
        return text
    found: list[str] = []
    for statement in _statements(text, one_each):
        if len(statement) > WIDTH:
            try:
                found += _broken(statement)
                continue
            except _NotUnderstood:
                pass
        found.append(statement)
    return "\n".join(found)


def _statements(text: str, one_each: bool) -> Iterator[str]:
    """Yield the lines of `text`. What stands between brackets that end and begin lines is joined."""
    rest = iter(text.split("\n"))
    for line in rest:
        if not line.endswith(_OPENING):
            yield line
            continue
        block = [line, *_block(rest)]
        if one_each and len(block) > 3:
            yield from block
        else:
            yield _joined(block)


def _block(rest: Iterator[str]) -> Iterator[str]:
    """Yield lines up to the one that closes the bracket that was opened before them."""
    depth = 1
    for line in rest:
        yield line
        depth -= line.lstrip()[:1] in (")", "]", "}")
        if not depth:
            return
        depth += line.endswith(_OPENING)


def _joined(block: Sequence[str]) -> str:
    """Join the lines from an opening bracket to the closing one.

    The comma after the last item goes, except in a tuple of one item.
    """
    parts = [block[0]]
    commas = [0]
    tuples = [_is_tuple(block[0])]
    for line in map(str.strip, block[1:]):
        if not line:
            continue
        if line[0] in ")]}":
            is_single = tuples.pop() and commas[-1] == 1
            commas.pop()
            if parts[-1].endswith(",") and not is_single:
                parts[-1] = parts[-1][:-1]
        elif not parts[-1].endswith(_OPENING):
            parts.append(" ")
        parts.append(line)
        if line.endswith(_OPENING):
            commas.append(0)
            tuples.append(_is_tuple(line))
        elif commas and line.endswith(","):
            commas[-1] += 1
    return "".join(parts)


def _is_tuple(line: str) -> bool:
    """Whether the bracket that ends a line opens a tuple: nothing is called."""
    return line.endswith("(") and not (len(line) > 1 and (line[-2].isalnum() or line[-2] in "_])"))


def _broken(statement: str) -> list[str]:
    """Return the lines of a statement that is too long for one."""
    text = statement.lstrip(" ")
    indent = len(statement) - len(text)
    if found := _IMPORT.match(text):
        names = text[found.end() :].split(", ")
        return lines(Group("import (", tuple(names), ")", "literal", always_breaks=True), indent, f"from {found[1]} ")
    if found := _DEFINITION.match(text):
        parameters, end = _parameters(text, found.end())
        return lines(Group(found[0], tuple(parameters), text[end:], "def"), indent)
    if found := _ANNOTATED.match(text):
        annotation, value = _split_value(text[found.end() :])
        return annotated(found[1], annotation, None if value is None else parse(value), indent)
    back = "," if text.endswith(",") else ""
    return lines(parse(text.removesuffix(",")), indent, back=back)


def _parameters(text: str, start: int) -> tuple[list[str], int]:
    """Return the parameters that begin at `start`, and where the bracket closes."""
    found: list[str] = []
    depth, begin = 0, start
    for token in _TOKEN.finditer(text, start):
        match token[0]:
            case "(" | "[" | "{":
                depth += 1
            case "," if not depth:
                found.append(text[begin : token.start()].strip())
                begin = token.end()
            case ")" | "]" | "}" if depth:
                depth -= 1
            case ")":
                last = text[begin : token.start()].strip()
                return [*found, last] if last else found, token.start()
            case _:
                pass
    raise _NotUnderstood


def _split_value(text: str) -> tuple[str, str | None]:
    """Return the annotation of an assignment and its value, if it has one."""
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] in _CLOSING:
            depth += 1
        elif token[0] in ")]}":
            depth -= 1
        elif not depth and " = " in token[0]:
            place = token.start() + token[0].index(" = ")
            return text[:place], text[place + 3 :]
    return text, None


def parse(text: str) -> Node:
    """Return an expression as something that can be broken at its brackets.

    Raises:
        ValueError: brackets do not match, or there are commas outside of them.
    """
    tokens = iter(_TOKEN.findall(text))
    items, end, _ = _items(tokens)
    if end or len(items) != 1:
        raise _NotUnderstood
    return items[0]


def _items(tokens: Iterator[str]) -> tuple[list[Node], str, bool]:
    """Return the items up to a closing bracket or the end, that bracket, and whether a comma precedes it."""
    found: list[Node] = []
    node: Node | None = None
    text = ""
    for token in tokens:
        if token in _CLOSING:
            head = _HEAD.search(text)
            assert head is not None
            front = text[: head.start()].lstrip() if node is None else text[: head.start()]
            group = _group(head[0], token, tokens)
            before: Node = front if node is None else Pair(node, front) if front else node
            node, text = (Pair(before, group) if before else group), ""
        elif token in ",)]}":
            if node is not None or text.strip():
                found.append(_item(node, text))
            elif token == ",":
                raise _NotUnderstood
            if token != ",":
                return found, token, bool(found) and node is None and not text.strip()
            node, text = None, ""
        else:
            text += token
    if node is not None or text.strip():
        found.append(_item(node, text))
    return found, "", False


def _item(node: Node | None, text: str) -> Node:
    if node is None:
        return text.strip()
    return Pair(node, text.rstrip()) if text.strip() else node


def _group(head: str, opening: str, tokens: Iterator[str]) -> Group:
    items, end, has_comma = _items(tokens)
    if end != _CLOSING[opening]:
        raise _NotUnderstood
    is_plain = not head and not (opening == "(" and len(items) == 1 and not has_comma)
    return Group(head + opening, tuple(items), end, "literal" if is_plain else "call")
