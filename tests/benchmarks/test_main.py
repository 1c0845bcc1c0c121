"""The command line of the benchmarks: which parts run, and what follows when one of them fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks import __main__ as command
from benchmarks.parts import PARTS, Part
from benchmarks.size import FULL, QUICK, Size
from benchmarks.table import Table
from benchmarks.workers import Threads


class Fakes:
    """Parts that measure nothing, in place of the real ones.

    Attributes:
        ran: names and sizes of those that were run.
        results: where results are written by default.
    """

    def __init__(self, patch: pytest.MonkeyPatch, results: Path) -> None:
        self.ran: list[tuple[str, Size]] = []
        self.results = results
        patch.setattr(command, "RESULTS", results)
        for name in PARTS:
            patch.setitem(PARTS, name, self._part(name))
        self._patch = patch

    def _part(self, name: str) -> Part:
        def measure(folder: Path, size: Size) -> Table:
            assert folder.is_dir()
            self.ran.append((name, size))
            table = Table(f"Table of {name}", ["", "time"])
            table.add("idlrt", "1 ms")
            return table

        return Part(name=name, description=f"measures {name}", measure=measure)

    def fail(self, name: str) -> None:
        """Let a thread of a part fail."""

        def broken() -> None:
            raise ValueError("the server is gone")

        def measure(folder: Path, size: Size) -> Table:
            Threads(broken).join()
            raise AssertionError("not reached")

        self._patch.setitem(PARTS, name, Part(name=name, description="fails", measure=measure))

    def names(self) -> list[str]:
        return [name for name, _ in self.ran]


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fakes:
    return Fakes(monkeypatch, tmp_path / "results.md")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command.main, arguments)


def test_all_parts_are_run_and_written(fakes: Fakes) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert fakes.ran == [(name, FULL) for name in PARTS]
    written = fakes.results.read_text(encoding="utf-8")
    assert all(f"## Table of {name}\n" in written for name in PARTS)


def test_named_parts_are_run_and_not_written(fakes: Fakes) -> None:
    result = run("picks", "codec")
    assert result.exit_code == 0, result.output
    assert fakes.names() == ["picks", "codec"]
    assert "## Table of picks" in result.output
    assert not fakes.results.exists()


def test_quick_runs_small_and_writes_only_where_told(fakes: Fakes, tmp_path: Path) -> None:
    result = run("--quick")
    assert result.exit_code == 0, result.output
    assert fakes.ran == [(name, QUICK) for name in PARTS]
    assert not fakes.results.exists()
    assert run("--quick", "--output", str(tmp_path / "quick.md"), "codec").exit_code == 0
    assert "## Table of codec" in (tmp_path / "quick.md").read_text(encoding="utf-8")


def test_a_failing_part_lets_the_others_run_and_writes_nothing(fakes: Fakes) -> None:
    fakes.fail("death")
    result = run()
    assert result.exit_code == 1
    assert fakes.names() == [name for name in PARTS if name != "death"]
    assert "Error: failed: death; nothing was written" in result.output
    assert "the server is gone" in result.output
    assert not fakes.results.exists()


def test_unknown_parts_are_errors(fakes: Fakes) -> None:
    result = run("codec", "no-such-part")
    assert result.exit_code == 2
    assert "no-such-part" in result.output
    assert not fakes.ran


def test_help_and_list_describe_all_parts() -> None:
    for option in ("--help", "--list"):
        result = run(option)
        assert result.exit_code == 0
        for part in PARTS.values():
            assert f"{part.name} " in result.output
            assert part.description in result.output
