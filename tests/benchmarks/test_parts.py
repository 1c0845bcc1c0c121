"""Every part of the benchmarks runs small, and fills its tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from benchmarks import collector_pages, collector_queries, http, observe, tracing
from benchmarks.parts import PARTS
from benchmarks.servers import ROWS
from benchmarks.size import QUICK
from benchmarks.table import Table
from idlrt.balance import BALANCERS

pytestmark = pytest.mark.slow

LONG = {"servers", "death", "dns"}
VALUES = [
    f"{action} {value}" for value in ("small struct", "list of 100", "numbers") for action in ("encode", "decode")
]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Expected contents of a table.

    Attributes:
        rows: their first cells, in order.
        optional: of these, those that depend on what is installed.
        empty: columns that are empty, by row; 0 is the first beside the row's name.
        zeros: columns that may be 0.
    """

    rows: Sequence[str]
    optional: Sequence[str] = ()
    empty: Mapping[str, Sequence[int]] = field(default_factory=dict)
    zeros: Sequence[int] = ()


REGISTRIES = ["embedded", "zookeeper", "etcd"]
VARIANTS = ["defaults", "and zones", "and 10 rules", "and a breaker of the service", "zones, 10 rules, breaker"]
EXPECTED: dict[str, list[Expected]] = {
    "codec": [Expected(rows=VALUES)] * 4,
    "memory": [Expected(rows=["idlrt", "idlrt pure", "MessagePack", "thriftpy2", "Apache"])],
    "compiler": [
        Expected(
            rows=["compile, cold", "compile again, unchanged", "import the stubs", "(starting Python)"],
            empty={"(starting Python)": (0, 3)},
        )
    ],
    "servers": [
        Expected(
            rows=list(ROWS),
            optional=["apache go", "apache go header", "apache c++", "grpcio", "grpc.aio"],
            empty={"idlrt": (0, 1)},
            zeros=(0, 1),
        )
    ],
    "http": [
        Expected(
            rows=list(http.ROWS),
            optional=[name for name, row in http.ROWS.items() if row.packages],
            empty={name: (0,) for name, row in http.ROWS.items() if not row.packages},
            zeros=(0, 1),
        )
    ],
    "calls": [Expected(rows=["idlrt", "idlrt asyncio", "thriftpy2", "apache"], empty={"idlrt": (0, 1)})],
    "connections": [Expected(rows=["idlrt", "idlrt asyncio"], zeros=(1,))],
    "death": [Expected(rows=["registry only", "client only", "both"], empty={"registry only": (3,)}, zeros=(0, 2, 3))],
    "discovery": [Expected(rows=REGISTRIES, optional=REGISTRIES[1:])],
    "capacity": [Expected(rows=["100", "300"], zeros=(2,))],
    "crowd": [Expected(rows=["300 ordinary", "5 of 65 kB"], zeros=(1, 3))],
    "dns": [
        Expected(
            rows=["`dns://`, TTL 1 s", *(f"`{name}://`" for name in REGISTRIES)],
            optional=[f"`{name}://`" for name in REGISTRIES[1:]],
            # On a machine that stands still for seconds the session may end before the process does.
            zeros=(2,),
        )
    ],
    "governance": [Expected(rows=["a bare leaf", *VARIANTS], empty={"a bare leaf": (1, 3)}, zeros=(1, 3))],
    "changes": [
        Expected(
            rows=["after a change of settings", "after a change of instances", "after a change elsewhere", "all others"]
        )
    ],
    "picks": [Expected(rows=BALANCERS.names())],
    "observe": [
        Expected(rows=[*observe.RECORDERS, *observe.PEERS], empty={name: range(1, 7) for name in observe.PEERS}),
        Expected(rows=["5 series", "20 series"]),
        Expected(rows=tracing.OURS, zeros=range(6)),
    ],
    "collector": [
        Expected(rows=collector_queries.names()),
        # First paint and transfer are those of a browser, which may be absent.
        Expected(rows=[name for name, _ in collector_pages.PAGES], zeros=(4, 5)),
    ],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in PARTS]
)
def test_a_part_fills_its_tables(name: str) -> None:
    tables = PARTS[name].run(QUICK)
    for table, expected in zip(tables, EXPECTED[name], strict=True):
        check(table, expected)


def check(table: Table, expected: Expected) -> None:
    names = [row[0] for row in table.rows]
    assert names == [name for name in expected.rows if name in names or name not in expected.optional]
    for name, *cells in table.rows:
        empty = [column for column, cell in enumerate(cells) if not cell]
        assert empty == list(expected.empty.get(name, ())), f"{table.title}: {name}"
        for column, cell in enumerate(cells):
            if column in empty or column in expected.zeros or cell == "not at all":
                continue
            figure = re.match(r"-?[\d.,]+", cell)
            assert figure is not None, f"{table.title}: {name}: {cell!r}"
            assert float(figure[0].replace(",", "")) > 0, f"{table.title}: {name}: {cell!r}"
