"""Line breaks as `black` makes them, so that what templates emit needs no formatting afterwards.

An expression is text, or a `Group`: something between brackets that can be broken. What does not fit on a
line is tried with the content of its last bracket on a separate line, and then one item a line with a
comma behind each. Literals (lists, dicts, sets, tuples) with several items go to one a line at once; calls
and signatures try the one line first.

Source: https://black.readthedocs.io/en/stable/the_black_code_style/current_style.html
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = ["WIDTH", "Group", "Node", "Pair", "annotated", "flat", "lines"]

WIDTH = 88


class Group(msgspec.Struct, frozen=True):
    """Items between brackets.

    Attributes:
        head: up to and with the opening bracket.
        tail: from the closing bracket on.
        kind: a `literal` always goes to one item a line; `def` gives a lone parameter a comma.
        always_breaks: one item a line even where it would fit (the comma behind the last keeps it so).
    """

    head: str
    items: tuple[Node, ...]
    tail: str
    kind: Literal["call", "literal", "def"] = "call"
    always_breaks: bool = False


class Pair(msgspec.Struct, frozen=True):
    """Text in front of an expression: `key: value`, `name=value`."""

    front: Node
    value: Node


Node: TypeAlias = str | Group | Pair


def flat(node: Node) -> str:
    """All of it on one line."""
    match node:
        case str():
            return node
        case Pair():
            return flat(node.front) + flat(node.value)
        case Group():
            items = ", ".join(map(flat, node.items))
            if node.head == "(" and len(node.items) == 1 and node.kind == "literal":
                items += ","
            return node.head + items + node.tail


def _must_break(node: Node) -> bool:
    match node:
        case str():
            return False
        case Pair():
            return _must_break(node.front) or _must_break(node.value)
        case Group():
            return node.always_breaks or any(map(_must_break, node.items))


def lines(node: Node, indent: int = 0, front: str = "", back: str = "") -> list[str]:
    """The lines of `front node back`, indented by `indent` spaces, at most `WIDTH` wide where that can be done."""
    margin = " " * indent
    whole = margin + front + flat(node) + back
    if len(whole) <= WIDTH and not _must_break(node):
        return [whole]
    if isinstance(node, Pair):
        if isinstance(node.value, str) and not isinstance(node.front, str):
            return lines(node.front, indent, front, node.value + back)
        return lines(node.value, indent, front + flat(node.front), back)
    return _broken(node, indent, front, back)


def _broken(node: Node, indent: int, front: str = "", back: str = "") -> list[str]:
    margin = " " * indent
    if not isinstance(node, Group) or not node.items:
        return [margin + front + flat(node) + back]
    first, *rest = _closing(node.tail + back, indent)
    if node.kind == "def" and len(node.items) > 1 and any(line.endswith(",") for line in rest):
        # The result is broken anyway, with one item a line: then the parameters stay together.
        whole = margin + front + node.head + ", ".join(map(flat, node.items)) + first.lstrip()
        if len(whole) <= WIDTH:
            return [whole, *rest]
    return [margin + front + node.head, *_body(node, indent + 4), first, *rest]


def _closing(tail: str, indent: int) -> list[str]:
    """The line of the closing bracket. The result of a function that makes it too long is broken at its own."""
    result, bracket, end = tail.removeprefix(") -> ").rpartition("]")
    if indent + len(tail) <= WIDTH or not bracket or not tail.startswith(") -> "):
        return [" " * indent + tail]
    return lines(subscript(result + bracket), indent, ") -> ", end)


def _body(group: Group, indent: int) -> list[str]:
    is_several = len(group.items) > 1
    if not (group.kind == "literal" and is_several) and not _must_break(group):
        one = ", ".join(map(flat, group.items))
        if not is_several and (group.kind == "def" or (group.kind == "literal" and group.head.endswith("("))):
            one += ","
        if indent + len(one) <= WIDTH:
            return [" " * indent + one]
    if len(group.items) == 1 and not group.always_breaks and group.kind == "call":
        # A lone argument has no comma to break at: only its own brackets can be broken.
        return lines(group.items[0], indent)
    one_each = _parameter if group.kind == "def" else _item
    return [line for item in group.items for line in one_each(item, indent)]


def _item(node: Node, indent: int) -> list[str]:
    return lines(node, indent, back=",")


def _parameter(node: Node, indent: int) -> list[str]:
    """One parameter: where its annotation is too long, it is put between parentheses."""
    text = flat(node) + ","
    if indent + len(text) <= WIDTH or ": " not in text:
        return [" " * indent + text]
    name, annotation = text[:-1].split(": ", 1)
    annotation, equals, default = annotation.partition(" = ")
    if " | " not in annotation:
        return lines(subscript(annotation), indent, f"{name}: ", equals + default + ",")
    return [f"{' ' * indent}{name}: (", *_alternatives(annotation, indent + 4), f"{' ' * indent}){equals}{default},"]


def _alternatives(annotation: str, indent: int) -> list[str]:
    inner = " " * indent
    if indent + len(annotation) <= WIDTH:
        return [inner + annotation]
    first, *rest = annotation.split(" | ")
    return [*lines(subscript(first), indent), *[f"{inner}| {part}" for part in rest]]


def subscript(annotation: str) -> Node:
    """`dict[str, list[int]]` as something that can be broken at its brackets."""
    if not annotation.endswith("]"):
        return annotation
    head, inner = annotation[:-1].split("[", 1)
    items: list[Node] = []
    depth, start = 0, 0
    for index, character in enumerate(inner + ","):
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            items.append(subscript(inner[start:index].strip()))
            start = index + 1
    return Group(f"{head}[", tuple(items), "]")


def annotated(name: str, annotation: str, value: Node | None, indent: int) -> list[str]:
    """`name: annotation = value`."""
    front = f"{name}: {annotation}"
    if value is None:
        is_plain = not annotation.endswith("]") and indent + len(front) > WIDTH
        if is_plain:
            return [f"{' ' * indent}{name}: (", " " * (indent + 4) + annotation, " " * indent + ")"]
        return lines(subscript(annotation), indent, f"{name}: ")
    whole = lines(value, indent, f"{front} = ")
    if len(whole[0]) <= WIDTH:
        return whole
    margin = " " * indent
    if indent + len(front) + 4 <= WIDTH:
        return [f"{margin}{front} = (", *lines(value, indent + 4), f"{margin})"]
    if " | " not in annotation and annotation.endswith("]"):
        head, *body, _ = _broken(subscript(annotation), indent, f"{name}: ")
        return [head, *body, *lines(value, indent, "] = ")]
    return [f"{margin}{name}: (", *_alternatives(annotation, indent + 4), *lines(value, indent, ") = ")]
