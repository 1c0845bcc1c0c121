"""Requests that are damaged by chance: a short run of the fuzzer, always with the same dice."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from typing import Any, Final

import pytest

FOLDER: Final = Path(__file__).parents[3] / "fuzz"
CASES: Final = 4000
# About 20 seconds of an idle core.
MANY_CASES: Final = 120_000
PARTS: Final = [
    b"\r\n", b"\r\n\r\n", b"\n", b" ", b"0\r\n\r\n", b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"Proxy-Connection: close\r\n", b"Host: b\r\n", b"Expect: 100-continue\r\n", b"%00",
    b"\0", b":", b"\t", b"_", b"?", b"#", b"+", b";", b"\xff", b"\x7f", b"5", b"*", b"http://a/n/1",
]  # fmt: skip


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("server_http")


def damaged(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(4):
            case 0:
                made[at:at] = chance.choice(PARTS)
            case 1:
                del made[at : at + chance.randrange(1, 10)]
            case 2:
                made[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                other = chance.choice(others)
                start = chance.randrange(len(other))
                made[at:at] = other[start : start + 30]
    return bytes(made)


@pytest.mark.parametrize(
    ("seed", "cases"), [(1, CASES), pytest.param(2, MANY_CASES, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_whatever_comes_is_read_alike_however_it_is_cut(target: Any, seed: int, cases: int) -> None:
    assert "server_http" in sys.modules
    chance = random.Random(seed)
    seeds = list(target.seeds())
    good = sum(bool(target.check(damaged(chance.choice(seeds), seeds, chance))) for _ in range(cases))
    # A fuzzer that never makes anything readable tests little.
    assert good > cases // 10
