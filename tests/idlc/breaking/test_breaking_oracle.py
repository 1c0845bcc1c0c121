"""Findings of category `WIRE` are exactly the changes after which a value does not survive, in each direction.

A seed has 50 pairs of interfaces; `BREAKING_SEEDS=200` looks at 10,000 pairs, for about 11 minutes.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from interfaces import compare_texts
from oracle import Judge, compiled
from worlds import CHANGES, Family, changed, family

FAMILIES = 50
SEEDS = int(os.environ.get("BREAKING_SEEDS", "10"))


def pairs_of(seed: int) -> list[tuple[Family, Family, list[str]]]:
    """Return interfaces before and after changes, and the names of the changes."""
    rng = random.Random(seed)
    pairs: list[tuple[Family, Family, list[str]]] = []
    for _ in range(FAMILIES):
        before = family(rng)
        pairs.append((before, *changed(before, rng)))
    return pairs


def disagreements(seed: int, folder: Path) -> list[str]:
    """Compare findings with what codecs do, for the pairs of a seed in one file; return those that differ."""
    pairs = pairs_of(seed)
    texts = [
        "".join(version.text(number) for number, version in enumerate(versions))
        for versions in ([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    ]
    findings = compare_texts(*texts)
    old, new = (compiled(text, folder, f"{name}{seed}") for text, name in zip(texts, ("before", "after"), strict=True))
    judge = Judge(old, new)
    wrong: list[str] = []
    for number, (before, after, names) in enumerate(pairs):
        own = [each for each in findings if each.element.partition(".")[0].endswith(f"_{number}")]
        predicted = {flow for each in own if "WIRE" in each.categories for flow in each.flows}
        seen = judge.flows(before, after, number)
        if predicted != seen:
            told = [f"{each.rule} {sorted(each.flows)}: {each.message}" for each in own]
            wrong.append(
                f"{seed}/{number} {names}: predicted {sorted(predicted)}, seen {sorted(seen)}\n"
                + "\n".join([*told, before.text(number), after.text(number)])
            )
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_wire_findings_are_exactly_what_fails(seed: int, tmp_path: Path) -> None:
    assert disagreements(seed, tmp_path) == []


def test_all_changes_are_among_them() -> None:
    assert {name for seed in range(10) for _, _, names in pairs_of(seed) for name in names} == {*CHANGES}
