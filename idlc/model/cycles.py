"""Circles in a graph, and the order in which to walk it where there are none.

Includes, typedefs, services, constants and required fields must all not go round; they share this walk. It keeps its
own stack, because a chain of a thousand typedefs is nobody's fault and must not meet Python's recursion limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["walk"]

T = TypeVar("T")


def walk(roots: Iterable[T], successors: Callable[[T], Iterable[T]]) -> tuple[list[T], list[list[T]]]:
    """Depth-first, over everything that can be reached.

    Nodes are told apart by identity.

    Returns:
        All nodes, each after its successors (except along the circles); and one circle per edge that closes one, each
        as the nodes on the way round, starting with the one that was reached first.
    """
    done: list[T] = []
    circles: list[list[T]] = []
    position: dict[int, int] = {}  # id → place on the current path, -1 when finished
    for root in roots:
        if id(root) in position:
            continue
        path: list[T] = [root]
        pending: list[Iterator[T]] = [iter(successors(root))]
        position[id(root)] = 0
        while path:
            following = next(pending[-1], None)
            if following is None:
                position[id(path[-1])] = -1
                done.append(path.pop())
                pending.pop()
                continue
            place = position.get(id(following))
            if place is None:
                position[id(following)] = len(path)
                path.append(following)
                pending.append(iter(successors(following)))
            elif place >= 0:
                circles.append(path[place:])
    return done, circles
