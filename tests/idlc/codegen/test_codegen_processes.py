"""Code generation in several processes gives what one gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import idlc
from idlc.codegen.processes import render_all


def test_files_and_notes_are_the_same(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"f{number}.thrift").write_text(
            f"namespace py demo\nstruct S{number} {{ 1: i32 from, 2: i32 from_ }}\n"
            f"service V{number} {{ void a(1: i32 in) }}\n"
        )
    found = [idlc.compile(tmp_path, tmp_path / f"gen{jobs}", use_cache=False, jobs=jobs) for jobs in (1, 2, 3, 50, 0)]
    first = {path.relative_to(tmp_path / "gen1"): path.read_text() for path in found[0].written}
    for jobs, each in zip((2, 3, 50, 0), found[1:], strict=True):
        assert {path.relative_to(tmp_path / f"gen{jobs}"): path.read_text() for path in each.written} == first
        assert idlc.render_short(each.report) == idlc.render_short(found[0].report)
    assert len(found[0].diagnostics) == 20


def test_an_exception_of_a_child_is_raised() -> None:
    def render(item: int) -> str:
        if item == 3:
            raise LookupError(item)
        return str(item)

    assert render_all(render, [0, 1, 2], 2) == ["0", "1", "2"]
    with pytest.raises(LookupError, match="3"):
        render_all(render, [0, 1, 2, 3], 2)


def test_items_of_a_child_that_ends_are_rendered_again() -> None:
    parent = os.getpid()

    def render(item: int) -> str:
        if os.getpid() != parent:
            os._exit(7)
        return str(item)

    assert render_all(render, list(range(5)), 3) == ["0", "1", "2", "3", "4"]
