"""Scenarios: some runs, and checks of their results.

A scenario is a module with `cases`, which returns the runs, `run`, which makes one in a separate process, and
`report`, which returns text, tables and checks of their results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.simulate.figures import Result
from benchmarks.table import Table

__all__ = ["Case", "Check", "Scenario", "Section", "Settings", "figures_table"]

Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Size of the simulation.

    Attributes:
        instances: of the service.
        rate: calls a second.
        seconds: of the longest run; others take no more.
        seed: of all chance.
    """

    instances: int = 1000
    rate: float = 100_000.0
    seconds: float = 60.0
    seed: int = 1

    def work(self, share: float, workers: int) -> float:
        """Return the seconds of work of a call at which this part of all workers is busy."""
        return share * workers * self.instances / self.rate


@dataclass(frozen=True, slots=True)
class Case:
    """One run.

    Attributes:
        label: distinguishes it from the other runs of its scenario.
        values: what `run` is given.
    """

    label: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """A condition that the results must satisfy.

    Attributes:
        name: what.
        is_ok: whether it is.
        figures: from which that is seen.
    """

    name: str
    is_ok: bool
    figures: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.is_ok else 'FAIL'} {self.name}: {self.figures}"


@dataclass(slots=True)
class Section:
    """Report of a scenario.

    Attributes:
        title: of it.
        theory: what is done, and what is to be expected.
        parts: tables and plots, as Markdown.
        checks: of the figures.
        pictures: as SVG, by the name of their file.
    """

    title: str
    theory: str
    parts: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)

    def check(self, name: str, is_ok: bool, figures: str) -> None:
        """Add a check."""
        self.checks.append(Check(name, is_ok, figures))

    def __str__(self) -> str:
        checks = "\n".join(["```", *map(str, self.checks), "```"])
        pictures = [f"![{name}]({name})\n" for name in self.pictures]
        return "\n".join([f"## {self.title}\n", f"{self.theory}\n", *self.parts, *pictures, checks, ""])


class Scenario(Protocol):
    """See the module."""

    def cases(self, settings: Settings) -> Sequence[Case]:
        """The runs."""
        ...

    def run(self, settings: Settings, label: str, on_progress: Tell, **values: Any) -> Result:
        """Make one."""
        ...

    def report(self, settings: Settings, results: Mapping[str, Result]) -> Section:
        """Return the report of the results by label."""
        ...


def figures_table(title: str, results: Sequence[Result], head: str = "balancer", note: str = "") -> str:
    """The usual figures of runs, as Markdown."""
    columns = ("p50", "p90", "p99", "p99.9", "errors", "sends/call", "max/mean", "CV", "most at once")
    table = Table(title, (head, *columns), note)
    for each in results:
        spread = each.spread
        table.add(
            each.label,
            *(f"{each.ms(percent):.1f}" for percent in (50, 90, 99, 99.9)),
            f"{each.error_rate:.3%}" if each.error_rate else "0",
            f"{each.attempts:.3f}",
            f"{spread.worst:.2f}",
            f"{spread.variation:.3f}",
            f"{each.peak:.1f}",
        )
    return "#" + str(table)
