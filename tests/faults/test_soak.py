"""The long load, for a moment: no call is lost or made twice, whatever goes wrong. `make soak` is the long one."""

from __future__ import annotations

import pytest
from soak import soak


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_every_call_ends_as_it_should(seed: int) -> None:
    report = soak(3, callers=60, idle=50, restart_every=1.0, seed=seed, restarts=1, answers=500)
    assert report.wrong == []
    assert report.servers > 2
    assert report.outcomes["answered"] >= 500
    # It takes a while until buffers have their size; after that nothing grows.
    half = report.memory[len(report.memory) // 2 :]
    assert max(half) - min(half) < 32_000
    assert max(report.descriptors) < 400
