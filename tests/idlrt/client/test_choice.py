"""Choosing an instance: weights, load, health, and those that were tried."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.client.choice import Choice
from idlrt.client.health import Health
from idlrt.core import Instance
from idlrt.errors import ConnectFailed


class Node:
    def __init__(self, number: int, weight: int = 100, *, is_out: bool = False, under_way: int = 0) -> None:
        self.instance = Instance(service="S", host="h", port=number + 1, weight=weight)
        self.health = Health()
        self.under_way = under_way
        if is_out:
            self.health.failed(ConnectFailed("gone"), 0.0)


def spread(nodes: Sequence[Node], count: int = 20_000) -> list[float]:
    """The share of each of `nodes` when calls take no time."""
    choice = Choice(nodes, random.Random(1).random)
    found = Counter(choice.pick() for _ in range(count))
    return [found[node] / count for node in nodes]


def test_nothing_to_choose_from() -> None:
    assert Choice[Node]([]).pick() is None


def test_the_only_one_is_taken_whatever_its_health() -> None:
    node = Node(0, is_out=True)
    assert Choice([node]).pick() is node
    assert Choice([node]).pick([node]) is None


def test_equal_weights_get_equal_shares() -> None:
    assert spread([Node(number) for number in range(4)]) == pytest.approx([0.25] * 4, abs=0.02)


def test_shares_follow_weights() -> None:
    light, heavy = spread([Node(0, 50), Node(1, 150)])
    assert light == pytest.approx(0.25, abs=0.02)
    assert heavy == pytest.approx(0.75, abs=0.02)


def test_of_two_the_one_with_fewer_calls() -> None:
    busy, free = Node(0, under_way=10), Node(1)
    assert spread([busy, free])[1] > 0.7


def test_load_evens_out() -> None:
    # Calls never end: what is chosen stays busy. Two choices keep the fullest close to the mean (Mitzenmacher).
    nodes = [Node(number) for number in range(100)]
    choice = Choice(nodes, random.Random(2).random)
    for _ in range(10_000):
        node = choice.pick()
        assert node is not None
        node.under_way += 1
    assert max(node.under_way for node in nodes) <= 105


def test_who_is_out_is_left_out() -> None:
    nodes = [Node(0), Node(1, is_out=True), Node(2)]
    assert spread(nodes)[1] == 0


def test_when_most_are_out_health_is_not_trusted() -> None:
    nodes = [Node(0), Node(1, is_out=True), Node(2, is_out=True)]
    assert min(spread(nodes)) > 0.2


def test_half_of_them_is_not_most() -> None:
    assert spread([Node(0), Node(1, is_out=True)]) == [1.0, 0.0]


def test_who_comes_back_is_chosen_after_a_recount() -> None:
    nodes = [Node(0), Node(1, is_out=True)]
    choice = Choice(nodes, random.Random(3).random)
    nodes[1].health.answered(1.0)
    choice.recount()
    assert {choice.pick() for _ in range(100)} == set(nodes)


@given(st.lists(st.tuples(st.integers(1, 1000), st.booleans()), min_size=1, max_size=12), st.randoms())
def test_every_one_is_tried_before_it_gives_up(made: list[tuple[int, bool]], dice: random.Random) -> None:
    nodes = [Node(number, weight, is_out=is_out) for number, (weight, is_out) in enumerate(made)]
    choice = Choice(nodes, dice.random)
    tried: list[Node] = []
    while (node := choice.pick(tried)) is not None:
        assert node not in tried
        tried.append(node)
    assert set(tried) == set(nodes)
