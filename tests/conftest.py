"""Shared by all tests: a private cache folder, hypothesis profiles, tiers of duration, and a summary of skipped tests.

`make test-fast` leaves out what is marked `slow` or `long`, `make test` what is marked `long`, `make test-all` nothing.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# The marker expressions of the Makefile, and the marks of modules that need not even be imported under them.
_LEFT_OUT = {"not slow and not long": ("slow", "long"), "not long": ("long",)}


@pytest.fixture(autouse=True)
def _whole_logs() -> None:
    """Let no test lose log records because of those that ran before it."""
    logs = sys.modules.get("idlrt.core.logs")
    if logs is not None:
        logs.LOG_LIMIT.after_fork()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import modules that are left out as a whole."""
    marks = _LEFT_OUT.get(config.getoption("markexpr"), ())
    if not marks or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    return True if any(f"\npytestmark = pytest.mark.{mark}\n" in text for mark in marks) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many tests were not run, by reason."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", ()))
    left_out = config.getoption("markexpr")
    if not reasons and left_out not in _LEFT_OUT:
        return
    terminalreporter.section("NOT RUN")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:6}  {reason}")
    if left_out in _LEFT_OUT:
        marks = " or ".join(_LEFT_OUT[left_out])
        terminalreporter.line(f"   all  tests marked {marks}; `make test-all` runs them")


def _reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped, without the place."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the cache of the user who runs it; child processes inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDLC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("IDLRT_CACHE_DIR", str(tmp_path_factory.mktemp("snapshots")))
        yield
