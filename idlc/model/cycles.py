"""Cycle detection and topological order.

Includes, typedefs, services, constants and required fields must all be acyclic and share this traversal. It has an
explicit stack, because a chain of a thousand typedefs is valid and must not exceed Python's recursion limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["sort_topologically"]

T = TypeVar("T")


def sort_topologically(roots: Iterable[T], successors: Callable[[T], Iterable[T]]) -> tuple[list[T], list[list[T]]]:
    """Traverse a graph depth-first and find its cycles. Nodes are compared by identity.

    Args:
        roots: nodes to start from; all nodes that are reachable from them are visited.

    Returns:
        All nodes, each after its successors (except along cycles); and one cycle for each edge that closes one, as its
        nodes in order, starting with the node that was visited first.
    """
    done: list[T] = []
    cycles: list[list[T]] = []
    position: dict[int, int] = {}  # id → index in the current path, -1 if finished
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
                cycles.append(path[place:])
    return done, cycles
