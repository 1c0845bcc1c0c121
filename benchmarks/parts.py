"""The parts of the benchmarks: what each measures, and how it is run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import (
    calls,
    codec,
    collector_pages,
    collector_queries,
    compiler,
    connections,
    dns,
    governance,
    http,
    memory,
    observe,
    registry,
    servers,
)
from benchmarks.registry_crowd import run_crowd
from benchmarks.size import FULL, Size
from benchmarks.table import Table

__all__ = ["PARTS", "Part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the benchmarks.

    Attributes:
        name: on the command line.
        description: what it measures, in one line.
        measure: measures it, with files in a folder.
    """

    name: str
    description: str
    measure: Callable[[Path, Size], Table | list[Table]]

    def run(self, size: Size = FULL) -> list[Table]:
        """Measure it in a temporary folder.

        Raises:
            Exception: it has failed, or one of its workers has.
        """
        with tempfile.TemporaryDirectory(prefix="idlc-bench-") as folder:
            found = self.measure(Path(folder), size)
        return found if isinstance(found, list) else [found]


def _measure_collector(folder: Path, size: Size) -> list[Table]:
    return [collector_queries.run(folder, size), collector_pages.run(folder, size)]


def _measure_servers(folder: Path, size: Size) -> Table:
    plot = servers.PLOT if size == FULL else None
    return servers.run(folder, rounds=size.server_rounds, calls=size.server_calls, plot=plot)


def _measure_http(folder: Path, size: Size) -> Table:
    return http.run(folder, rounds=size.server_rounds, calls=size.server_calls)


_ALL: Final = (
    Part(name="codec", description="encoding and decoding in each wire protocol, against peers", measure=codec.run),
    Part(name="memory", description="memory of decoded structs, against peers", measure=memory.run),
    Part(name="compiler", description="compiling a large IDL, and importing the stubs", measure=compiler.run),
    Part(name="servers", description="CPU time of servers per call, against peers", measure=_measure_servers),
    Part(name="http", description="CPU time of HTTP servers per request, against peers", measure=_measure_http),
    Part(name="calls", description="CPU time of clients per call, against peers", measure=calls.run),
    Part(name="connections", description="memory and CPU time of many connections", measure=connections.run),
    Part(name="death", description="how long a killed instance is called", measure=registry.run_death),
    Part(name="discovery", description="how soon a new instance is called", measure=registry.run_discovery),
    Part(name="capacity", description="a full embedded registry, and its pushes", measure=registry.run_capacity),
    Part(name="crowd", description="one service with very many or very large instances", measure=run_crowd),
    Part(name="dns", description="how soon DNS and registries report changes", measure=dns.run),
    Part(name="governance", description="cost of routing, balancing and guards per call", measure=governance.run_calls),
    Part(name="changes", description="cost of the call after a change of settings", measure=governance.run_changes),
    Part(name="picks", description="cost of one pick of each balancer", measure=governance.run_picks),
    Part(name="observe", description="cost of metrics and traces, against peers", measure=observe.run),
    Part(
        name="collector",
        description="queries and pages of the collector for 500 services",
        measure=_measure_collector,
    ),
)

PARTS: Final = {part.name: part for part in _ALL}
"""By name, in the order in which they are run."""
