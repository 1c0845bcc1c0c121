"""`python -m benchmarks.compare REF [PART]...`: compare this tree with that of a commit."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from benchmarks.compare.cells import CELLS, PARTS, Cell, Cpus, Pair, measure_pairs
from benchmarks.compare.intervals import Interval, median_interval
from benchmarks.compare.trees import CACHE, check_out, make_tree
from benchmarks.table import Table, middle, progress, unit
from benchmarks.workers import ROOT, WorkerError

# Of the comparison of the new tree with itself: one in a hundred of such runs may say that a quiet machine is noisy.
_FALSE_ALARMS = 0.01
_CONFIDENCE = 0.95
# Pairs from which on an interval has it.
_LEAST_PAIRS = 6

NOTE = """CPU time of one round or call, and the new one divided by the old one: the median of {pairs} pairs with its
interval, which has the true median with a probability of {confidence:.0%}. `faster` and `slower`: 1 is outside.
{chance}"""


AA_NOTE = "As below, with intervals that are wider: each has the true median with a probability of {confidence:.2%}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Result of two versions in one cell.

    Attributes:
        cell: what was measured.
        pairs: the measurements.
        interval: of their ratios.
    """

    cell: Cell
    pairs: Sequence[Pair]
    interval: Interval

    @property
    def verdict(self) -> str:
        """Return `same`, `faster`, `slower` or `too few pairs`, for the new version."""
        if len(self.pairs) < _LEAST_PAIRS:
            return "too few pairs"
        if self.interval.contains(1.0):
            return "same"
        return "faster" if self.interval.high < 1 else "slower"

    @property
    def old(self) -> float:
        """CPU seconds of the old version: the median."""
        return middle([pair.old for pair in self.pairs])

    @property
    def new(self) -> float:
        """CPU seconds of the new version: the median."""
        return middle([pair.new for pair in self.pairs])

    def as_json(self) -> dict[str, Any]:
        """Return it for machines to read."""
        return {
            "cell": self.cell.name,
            "old_seconds": self.old,
            "new_seconds": self.new,
            "ratio": self.interval.median,
            "low": self.interval.low,
            "high": self.interval.high,
            "confidence": self.interval.confidence,
            "verdict": self.verdict,
            "ratios": [pair.ratio for pair in self.pairs],
        }


def compared(measured: Mapping[Cell, Sequence[Pair]], confidence: float = _CONFIDENCE) -> list[Comparison]:
    """Return the comparison of the measurements."""
    return [
        Comparison(cell=cell, pairs=pairs, interval=median_interval([pair.ratio for pair in pairs], confidence))
        for cell, pairs in measured.items()
    ]


def noise(itself: Sequence[Comparison]) -> list[str]:
    """Return the cells in which a version differs from itself, because the machine is too noisy."""
    return [
        f"the machine is too noisy: A/A ratio {each.interval} ({each.cell.name})"
        for each in itself
        if not each.interval.contains(1.0)
    ]


def _table(title: str, comparisons: Sequence[Comparison], note: str = "") -> Table:
    table = Table(title, ["cell", "old", "new", "ratio [interval]", "verdict"], note)
    for each in comparisons:
        table.add(each.cell.name, unit(each.old), unit(each.new), str(each.interval), each.verdict)
    return table


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("ref")
@click.argument("parts", metavar="[PART]...", nargs=-1, type=click.Choice(PARTS))
@click.option("--pairs", default=20, show_default=True, type=click.IntRange(min=1), help="Measurements of each cell.")
@click.option("--cell", "names", multiple=True, metavar="NAME", help="Compare this cell only; may be repeated.")
@click.option("--json", "output", metavar="FILE", type=click.Path(path_type=Path), help="Write the results to FILE.")
@click.option(
    "--fail-above",
    metavar="RATIO",
    type=click.FloatRange(min=0, min_open=True),
    help="Exit with 1 if the whole interval of a cell is above RATIO.",
)
@click.option(
    "--cache",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    default=CACHE,
    show_default=True,
    help="Where trees of commits are checked out and built.",
)
@click.option("--list", "is_listing", is_flag=True, help="List the cells, and measure nothing.")
def main(
    ref: str,
    parts: tuple[str, ...],
    pairs: int,
    names: tuple[str, ...],
    output: Path | None,
    fail_above: float | None,
    cache: Path,
    is_listing: bool,
) -> None:
    """Compare the speed of this tree, with its uncommitted changes, with that of the commit REF.

    PARTs are codec, servers, header and calls; all of them by default. First this tree is compared with itself (A/A).
    If that does not come out as 1, the machine is too noisy, and the exit status is 2.
    """
    cells = _chosen(parts, names)
    if fail_above is not None and pairs < _LEAST_PAIRS:
        raise click.UsageError(f"--fail-above needs at least {_LEAST_PAIRS} pairs, got {pairs}")
    if is_listing:
        click.echo("\n".join(cell.name for cell in cells))
        return
    try:
        with tempfile.TemporaryDirectory(prefix="idlc-compare-") as folder:
            itself, found, sha = _compare(ref, cells, pairs, cache, Path(folder))
    except WorkerError as error:
        raise click.ClickException(str(error)) from None
    if output is not None:
        _write(output, ref, sha, pairs, itself, found)
    problems = noise(itself) if _can_tell_noise(pairs, len(cells)) else []
    if problems:
        for problem in problems:
            click.echo(problem, err=True)
        sys.exit(2)
    too_slow = [each for each in found if fail_above is not None and each.interval.low > fail_above]
    for each in too_slow:
        click.echo(f"slower than {fail_above:g}: {each.cell.name}: {each.interval}", err=True)
    sys.exit(1 if too_slow else 0)


def _chosen(parts: Sequence[str], names: Sequence[str]) -> list[Cell]:
    unknown = set(names) - {cell.name for cell in CELLS}
    if unknown:
        raise click.UsageError(f"unknown cell {sorted(unknown)[0]!r}; see --list")
    return [cell for cell in CELLS if (not parts or cell.part in parts) and (not names or cell.name in names)]


def _compare(
    ref: str, cells: Sequence[Cell], pairs: int, cache: Path, folder: Path
) -> tuple[list[Comparison], list[Comparison], str]:
    cpus = Cpus.choose()
    where = f"CPU {cpus.worker}, load on CPU {cpus.load}" if cpus.worker >= 0 else "any CPU: there are no two to pin to"
    progress(f"measuring on {where}")
    sha, sources = check_out(ref, cache)
    # Names of the same length, so that paths are, too.
    old = make_tree(sha[:10], sources, folder / "old", cache)
    new = make_tree("new", ROOT, folder / "new", cache)
    twin = make_tree("new again", ROOT, folder / "aux", cache)
    load = folder / "load"
    can_tell = _can_tell_noise(pairs, len(cells))
    itself = compared(measure_pairs(twin, new, cells, pairs, cpus, load), 1 - _FALSE_ALARMS / len(cells))
    click.echo(
        str(_table("A/A: this tree against itself", itself, AA_NOTE.format(confidence=itself[0].interval.confidence)))
    )
    if not can_tell:
        progress("too few pairs to tell from A/A whether the machine is too noisy")
    elif noise(itself):
        return itself, [], sha
    widest = max(max(each.interval.high - 1, 1 - each.interval.low) for each in itself)
    progress(f"differences below {widest:.1%} may not be visible")
    found = compared(measure_pairs(old, new, cells, pairs, cpus, load))
    confidence = found[0].interval.confidence
    by_chance = len(cells) * (1 - confidence)
    chance = (
        f"Of {len(cells)} cells, {by_chance:.1f} are expected to be outside by chance alone." if len(cells) > 1 else ""
    )
    note = NOTE.format(pairs=pairs, confidence=confidence, chance=chance).strip()
    click.echo(str(_table(f"{ref} ({sha[:10]}) against this tree", found, note)))
    return itself, found, sha


def _can_tell_noise(pairs: int, cells: int) -> bool:
    """Return whether the interval of A/A can have the confidence that it needs."""
    return 2 * 0.5**pairs <= _FALSE_ALARMS / cells


def _write(
    output: Path, ref: str, sha: str, pairs: int, itself: Sequence[Comparison], found: Sequence[Comparison]
) -> None:
    made = {
        "ref": ref,
        "commit": sha,
        "pairs": pairs,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "itself": [each.as_json() for each in itself],
        "cells": [each.as_json() for each in found],
    }
    output.write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    progress(f"written to {output}")


if __name__ == "__main__":
    main()
