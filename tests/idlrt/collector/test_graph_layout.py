"""Layout and drawing of the graph of calls: callers are left of callees, boxes are apart, and large graphs are cut."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence

import pytest

from idlrt.collector.pages.figures import Figures
from idlrt.collector.pages.graph_drawing import MAX_EDGES, MAX_NODES, Drawing, draw, select
from idlrt.collector.pages.graph_layout import BOX_HEIGHT, BOX_WIDTH, Edge, Layout, layout
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import OTHER


def laid_out(edges: Sequence[Edge]) -> Layout:
    found = layout(sorted({name for edge in edges for name in edge}), edges)
    for one, other in itertools.combinations(found.boxes.values(), 2):
        is_apart = abs(one[0] - other[0]) >= BOX_WIDTH or abs(one[1] - other[1]) >= BOX_HEIGHT
        assert is_apart, (one, other)
    for x, y in (*found.boxes.values(), *(point for line in found.lines.values() for point in line)):
        assert 0 <= x <= found.width
        assert 0 <= y <= found.height
    return found


def columns(found: Layout) -> list[list[str]]:
    """Return the names by layer, from the left, each from the top."""
    by_x: dict[float, list[tuple[float, str]]] = {}
    for name, (x, y) in found.boxes.items():
        by_x.setdefault(x, []).append((y, name))
    return [[name for _, name in sorted(by_x[x])] for x in sorted(by_x)]


def figures(caller: str, service: str, calls: int = 10, errors: int = 0, seconds: float = 10.0) -> Figures:
    return Figures(
        key=(caller, service), histogram=Histogram(count=calls), errors=errors, codes={"ok": calls}, seconds=seconds
    )


def drawn(edges: Iterable[Figures], service: str = "") -> Drawing:
    return draw(select(list(edges), service), lambda name: f"service?service={name}", service)


def test_a_service_is_right_of_all_its_callers() -> None:
    found = laid_out([("web", "shop"), ("app", "shop"), ("shop", "stock"), ("web", "stock")])
    assert [set(each) for each in columns(found)] == [{"web", "app"}, {"shop"}, {"stock"}]
    start, *between, end = found.lines["web", "stock"]
    assert start == (found.boxes["web"][0] + BOX_WIDTH, found.boxes["web"][1] + BOX_HEIGHT / 2)
    assert end == (found.boxes["stock"][0], found.boxes["stock"][1] + BOX_HEIGHT / 2)
    # Past the box of the layer between, not behind it.
    top = found.boxes["shop"][1]
    assert len(between) == 2
    assert all(y < top or y > top + BOX_HEIGHT for _, y in between)


@pytest.mark.parametrize(
    ("edges", "order"),
    [
        ([("a", "b"), ("b", "a")], ["a", "b"]),
        ([("a", "b"), ("b", "c"), ("c", "a")], ["a", "b", "c"]),
        # What is called from outside comes first, whatever the names are.
        ([("a", "b"), ("b", "a"), ("web", "b")], ["web", "b", "a"]),
        ([("a", "a"), ("a", "b")], ["a", "b"]),
    ],
)
def test_cycles_are_broken(edges: list[Edge], order: list[str]) -> None:
    found = laid_out(edges)
    assert columns(found) == [[name] for name in order]
    assert found.lines.keys() == {edge for edge in edges if edge[0] != edge[1]}
    for (caller, callee), points in found.lines.items():
        is_along = order.index(caller) < order.index(callee)
        assert (points[0][0] < points[-1][0]) == is_along, "lines go from caller to callee"
        assert points[0][0] == found.boxes[caller][0] + (BOX_WIDTH if is_along else 0)


def test_the_order_within_layers_avoids_crossings() -> None:
    # In the order of names, these would cross.
    found = laid_out([("a", "z"), ("b", "y"), ("c", "x"), ("z", "1"), ("y", "2"), ("x", "3")])
    assert all(line[0][1] == line[-1][1] for line in found.lines.values()), "straight lines"


def test_a_graph_without_nodes_or_edges() -> None:
    assert layout([], []).boxes == {}
    assert len(columns(layout(["a", "b"], []))) == 1
    assert drawn([]) == Drawing()


def test_the_layout_does_not_depend_on_the_order_of_edges() -> None:
    generator = random.Random(7)
    names = [f"s{number}" for number in range(30)]
    edges = [(generator.choice(names), generator.choice(names)) for _ in range(60)]
    found = laid_out(edges)
    generator.shuffle(edges)
    assert laid_out(edges) == found


def test_many_services() -> None:
    generator = random.Random(20)
    names = [f"service-{number:03}" for number in range(500)]
    pairs = {(generator.choice(names), generator.choice(names)) for _ in range(1500)}
    edges = [figures(*pair, calls=generator.randrange(1, 1000)) for pair in sorted(pairs)]
    found = drawn(edges)
    assert len(found.boxes) == MAX_NODES
    assert len(found.lines) <= MAX_EDGES
    called = {name for pair in pairs for name in pair}
    assert f"60 of {len(called)} nodes" in found.note
    laid_out([(each.key[0], each.key[1]) for each in edges[:200]])


def test_the_nodes_with_the_most_calls_are_drawn() -> None:
    edges = [figures("web", f"service-{number:02}", calls=number + 1) for number in range(MAX_NODES)]
    found = drawn(edges)
    assert {each.name for each in found.boxes} == {"web", *(f"service-{number:02}" for number in range(1, MAX_NODES))}
    assert found.note == (
        "The graph shows 60 of 61 nodes and 59 of 60 edges, those with the most calls; the table has all."
    )
    assert drawn(edges[1:]).note == ""
    unknown = drawn([*edges, figures("", "service-50", calls=1)])
    assert {each.kind for each in unknown.boxes} == {""}, "an unknown caller is drawn by its calls like others"
    limited = drawn(edges, "service-00")
    assert "service-00" in {each.name for each in limited.boxes}, "the service of the page is always drawn"


def test_the_edges_with_the_most_calls_are_drawn() -> None:
    names = [f"s{number:02}" for number in range(20)]
    edges = [figures(one, other, calls=10_000 - at) for at, (one, other) in enumerate(itertools.permutations(names, 2))]
    found = drawn(edges)
    assert len(found.boxes) == 20
    assert len(found.lines) == MAX_EDGES
    assert found.note == "The graph shows 200 of 380 edges, those with the most calls; the table has all."


def test_unknown_callers_and_others_have_no_page() -> None:
    found = drawn([figures("", "shop"), figures(OTHER, "shop"), figures("web", "shop")], "shop")
    assert {each.name: (each.href, each.kind) for each in found.boxes} == {
        "unknown": ("", "unknown"),
        "others": ("", "unknown"),
        "web": ("service?service=web", ""),
        "shop": ("service?service=shop", "current"),
    }


def test_lines_have_figures_widths_and_marks() -> None:
    edges = [
        figures("web", "shop", calls=1000, errors=11),
        figures("web", "stock", calls=1000, errors=10),
        figures("shop", "stock", calls=100),
        figures("shop", "shop", calls=1, errors=1),
    ]
    found = {each.text: each for each in drawn(edges).lines}
    assert {text: (each.width, each.is_bad) for text, each in found.items()} == {
        "web → shop: 100 calls/s, 1,000 calls, 11 errors (1.1 %)": (6, True),
        "web → stock: 100 calls/s, 1,000 calls, 10 errors (1 %)": (6, False),
        "shop → stock: 10 calls/s, 100 calls, 0 errors (0 %)": (4, False),
        "shop → shop: 0.1 calls/s, 1 call, 1 error (100 %)": (1, True),
    }
    with_durations = Figures(
        key=("web", "shop"), histogram=Histogram.of([10_000_000] * 100), errors=0, codes={"ok": 100}, seconds=10.0
    )
    [line] = drawn([with_durations]).lines
    assert ", p50 10 ms, p99 10 ms" in line.text
    boxes = {each.name: each.text for each in drawn(edges).boxes}
    assert boxes == {
        "web": "web: 0 calls/s received, 200 calls/s made",
        "shop": "shop: 100 calls/s received, 10.1 calls/s made",
        "stock": "stock: 110 calls/s received, 0 calls/s made",
    }


def test_long_names_are_cut() -> None:
    name = "a-service-with-a-rather-long-name"
    [box] = [each for each in drawn([figures("web", name)]).boxes if each.name != "web"]
    assert len(box.name) == 20
    assert box.text.startswith(name)
