"""A short run of the fuzzer, always with the same dice."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TARGET = Path(__file__).parents[2] / "fuzz" / "fuzz_decode.py"


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_messages(seed):
    spec = importlib.util.spec_from_file_location("fuzz_decode", TARGET)
    assert spec is not None
    assert spec.loader is not None
    target = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(target)
    count, values = target.run(seed, cases=1500)
    assert count == 1500
    # A fuzzer that never makes anything readable tests little.
    assert values > 100
