"""Findings of category `WIRE` are exactly the changes after which a value does not survive, in each direction."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from interfaces import compare_texts
from oracle import Judge, compiled
from worlds import CHANGES, changed, family

FAMILIES = 50


def disagreements(seed: int, folder: Path, count: int, applied: Counter[str]) -> list[str]:
    """Compare findings with what codecs do, for some pairs in one file; return those that differ."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        before = family(rng)
        pairs.append((before, *changed(before, rng)))
    texts = [
        "".join(version.text(number) for number, version in enumerate(versions))
        for versions in ([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    ]
    findings = compare_texts(*texts)
    old, new = (compiled(text, folder, f"{name}{seed}") for text, name in zip(texts, ("before", "after"), strict=True))
    judge = Judge(old, new)
    wrong: list[str] = []
    for number, (before, after, names) in enumerate(pairs):
        applied.update(names)
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
@pytest.mark.parametrize("seed", range(10))
def test_wire_findings_are_exactly_what_fails(seed: int, tmp_path: Path) -> None:
    assert disagreements(seed, tmp_path, FAMILIES, Counter()) == []


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_wire_findings_are_exactly_what_fails_in_ten_thousand_pairs(tmp_path: Path) -> None:
    applied: Counter[str] = Counter()
    for seed in range(100, 300):
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert disagreements(seed, folder, FAMILIES, applied) == []
    assert {*applied} == {*CHANGES}
    print(dict(applied.most_common()))
