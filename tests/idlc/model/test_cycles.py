from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from idlc.model.cycles import sort_topologically


class Node:
    def __init__(self, name: int) -> None:
        self.name = name
        self.next: list[Node] = []


def graph(edges: list[tuple[int, int]]) -> list[Node]:
    nodes = [Node(name) for name in range(8)]
    for start, end in edges:
        nodes[start].next.append(nodes[end])
    return nodes


Edges = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20)


@given(Edges)
def test_every_node_is_visited_once_and_every_cycle_is_one(edges: list[tuple[int, int]]) -> None:
    nodes = graph(edges)
    order, cycles = sort_topologically(nodes, lambda node: node.next)
    assert sorted(node.name for node in order) == list(range(8))
    for cycle in cycles:
        for node, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert following in node.next


@given(Edges)
def test_without_cycles_every_node_comes_after_its_successors(edges: list[tuple[int, int]]) -> None:
    nodes = graph([(max(edge), min(edge)) for edge in edges if edge[0] != edge[1]])
    order, cycles = sort_topologically(nodes, lambda node: node.next)
    assert cycles == []
    place = {node.name: index for index, node in enumerate(order)}
    assert all(place[following.name] < place[node.name] for node in nodes for following in node.next)


@given(Edges)
def test_cutting_the_first_node_of_every_cycle_leaves_none(edges: list[tuple[int, int]]) -> None:
    nodes = graph(edges)
    _, cycles = sort_topologically(nodes, lambda node: node.next)
    for cycle in cycles:
        cycle[0].next = []
    assert sort_topologically(nodes, lambda node: node.next)[1] == []
