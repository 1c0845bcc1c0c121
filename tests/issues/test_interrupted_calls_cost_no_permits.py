"""A signal handler or a time limit may raise between any two byte codes of a call: that costs no guard a place."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from eventually import TIMEOUT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers that send signals here"),
]

PROGRAM = Path(__file__).parents[1] / "harness" / "interrupted_guards.py"
# A counter is wrong after a few hundred of them.
INTERRUPTS = 2000
COMPETING_INTERRUPTS = 300
THREADS = 8


def run(kind: str, interrupts: int, threads: int = 0) -> str:
    """Interrupt calls through a guard `interrupts` times; return its remaining capacity as text."""
    # Coroutines that are interrupted before they begin are not awaited.
    command = [sys.executable, "-W", "ignore::RuntimeWarning", str(PROGRAM), kind, str(interrupts), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5 * TIMEOUT, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["bulkhead", "line", "concurrency", "breaker", "shedder", "load"])
def test_a_guard_is_as_good_as_before(kind: str) -> None:
    assert run(kind, INTERRUPTS) == "full capacity\n"


@pytest.mark.parametrize("kind", ["bulkhead", "line", "concurrency", "breaker", "shedder", "load"])
def test_a_guard_that_other_threads_use_is_as_good_as_before(kind: str) -> None:
    assert run(kind, COMPETING_INTERRUPTS, THREADS) == "full capacity\n"
