"""Tests tell the truth on any machine: they neither measure time, nor sleep, nor read private attributes.

Read with `ast`, so programs that tests hold as text are not looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for folder in ("tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "golden" not in path.parts and "typing" not in path.parts
)

# Benchmarks measure, and may wait.
TESTS = [path for path in FILES if path.is_relative_to(ROOT / "tests")]

# Public names that start with an underscore.
PUBLIC = {"_asdict", "_exit", "_fields", "_replace", "_value2member_map_"}
# Where private attributes of something else than this project are used.
PEERS = {
    "tests/interop/thriftpy2_peer.py": "thriftpy2's client sends and receives apart only under private names",
}
# Where a pause is what is wanted.
PAUSES = {
    "tests/faults/soak.py": "a load for minutes, with pauses by chance",
    "tests/faults/test_scenarios.py": "the pace of the callers",
    "tests/harness/eventually.py": "polls",
    "tests/harness/fault_proxy.py": "the latency of a slow network",
    "tests/idlrt/registry/test_quick_sessions.py": "in virtual time",
    "tests/idlrt/server/test_server_filters.py": "filters that await something of asyncio",
}
CLOCKS = frozenset({"monotonic", "perf_counter", "process_time", "thread_time", "time"})


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def is_private(text: str) -> bool:
    return text.startswith("_") and not text.startswith("__") and text not in PUBLIC


def private_attributes(path: Path) -> Iterator[str]:
    """Attributes of others than `self` and `cls` whose names are private, also those named by a string."""
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield f"{name(path)}:{node.lineno}: {node.attr}"
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if called in ("setattr", "getattr", "delattr", "patch", "object"):
                yield from (
                    f"{name(path)}:{node.lineno}: {text!r}" for text in texts if is_private(text.split(".")[-1])
                )


def calls_of(node: ast.AST, module: str, names: frozenset[str]) -> Iterator[ast.Call]:
    """Calls of functions of a module in a piece of code."""
    for each in ast.walk(node):
        match each:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=found), attr=called)) if found == module:
                if called in names:
                    yield each


def reads_clock(node: ast.AST, durations: frozenset[str] = frozenset()) -> bool:
    """Whether an expression contains a call of a clock, or a name that holds a duration."""
    return any(calls_of(node, "time", CLOCKS)) or any(
        isinstance(each, ast.Name) and each.id in durations for each in ast.walk(node)
    )


def timed_assertions(path: Path) -> Iterator[str]:
    """Assertions that something took at most so long."""
    durations = frozenset(
        target.id
        for node in nodes(path)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and reads_clock(node.value)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.op, ast.Sub)
    )
    for node in nodes(path):
        if isinstance(node, ast.Assert) and any(reads_clock(each, durations) for each in upper_bounded(node.test)):
            yield f"{name(path)}:{node.lineno}: {ast.unparse(node)[:90]}"


def upper_bounded(test: ast.expr) -> Iterator[ast.expr]:
    """Yield the operands that the comparisons of an assertion bound from above."""
    for compared in ast.walk(test):
        if isinstance(compared, ast.Compare):
            operands = [compared.left, *compared.comparators]
            for left, operator, right in zip(operands, compared.ops, operands[1:], strict=False):
                if isinstance(operator, ast.Lt | ast.LtE):
                    yield left
                elif isinstance(operator, ast.Gt | ast.GtE):
                    yield right


def sleeps(path: Path) -> Iterator[str]:
    """Pauses of some length; `asyncio.sleep(0)` only lets other tasks run."""
    for module in ("time", "asyncio"):
        for call in calls_of(nodes(path)[0], module, frozenset({"sleep"})):
            if not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0):
                yield f"{name(path)}:{call.lineno}: {ast.unparse(call)[:90]}"


def test_private_attributes_are_not_used() -> None:
    assert [each for path in FILES if name(path) not in PEERS for each in private_attributes(path)] == []


def test_nothing_is_asserted_of_how_long_something_took() -> None:
    assert [each for path in TESTS for each in timed_assertions(path)] == []


def test_tests_wait_for_events_instead_of_sleeping() -> None:
    assert [each for path in TESTS if name(path) not in PAUSES for each in sleeps(path)] == []


def test_the_rules_find_what_they_are_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "test_bad.py"
    bad.write_text(
        """
import asyncio, time
server._channels
self._mine
monkeypatch.setattr("idlrt.server._PATIENCE", 1)
took = time.monotonic() - start
assert took < 2
assert 0.1 <= time.monotonic() - start < 5
assert time.monotonic() - start >= 0.1
time.sleep(1)
asyncio.sleep(0)
"""
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert [each.partition(": ")[0] for each in private_attributes(bad)] == ["test_bad.py:3", "test_bad.py:5"]
    assert [each.partition(": ")[0] for each in timed_assertions(bad)] == ["test_bad.py:7", "test_bad.py:8"]
    assert [each.partition(": ")[0] for each in sleeps(bad)] == ["test_bad.py:10"]
