"""Long chains of typedefs and of services compile, and twice as long ones take twice as many steps."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from pathlib import Path

import pytest

import idlc

pytestmark = pytest.mark.slow


def typedefs(length: int) -> str:
    lines = [f"typedef T{number - 1} T{number}" for number in range(1, length)]
    return "\n".join(["typedef list<i32> T0", *lines, f"struct S {{ 1: T{length - 1} a, 2: set<T{length - 1}> b }}"])


def services(length: int) -> str:
    lines = [f"service S{number} extends S{number - 1} {{ void f{number}() }}" for number in range(1, length)]
    return "\n".join(["service S0 { void f0() }", *lines])


CHAINS = {"typedefs": typedefs, "services": services}


def compile_text(folder: Path, text: str) -> None:
    path = folder / "chain.thrift"
    path.write_text(text, encoding="utf-8")
    result = idlc.compile(sources=(path,), output=folder / "gen", use_cache=False)
    assert [each.message for each in result.report if each.severity == "error"] == []


def steps(run: Callable[[], None]) -> int:
    """The number of function calls, which does not depend on how busy the machine is."""
    profile = cProfile.Profile()
    profile.runcall(run)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # typeshed does not have it


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_chain_of_1200_compiles(tmp_path: Path, chain: Callable[[int], str]) -> None:
    compile_text(tmp_path, chain(1200))
    assert list((tmp_path / "gen").rglob("chain.py"))


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_steps_grow_with_the_length(tmp_path: Path, chain: Callable[[int], str]) -> None:
    compile_text(tmp_path, chain(2))  # what is made once, as the grammar, is made
    short, long = (steps(lambda length=length: compile_text(tmp_path, chain(length))) for length in (300, 1200))  # type: ignore[misc]
    assert long < 5 * short
    print(f"{short} and {long} calls")
