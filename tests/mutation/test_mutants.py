"""The list of mutants fits the sources: each bug can be put in, and the tests that have to find it exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_sources(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text(encoding="utf-8")
    assert text.count(mutant.before) == 1
    compile(text.replace(mutant.before, mutant.after), mutant.path, "exec")
    assert [test for test in mutant.tests if not (ROOT / test).exists()] == []


def test_there_are_ten_bugs_or_more() -> None:
    assert len({mutant.path for mutant in MUTANTS}) >= 10
