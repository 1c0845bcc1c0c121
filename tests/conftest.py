"""What all tests share: a cache folder of their own, and how hypothesis runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules of which all is slow need not even be imported where slow tests are left out (`make test-fast`)."""
    if config.getoption("markexpr") != "not slow" or collection_path.suffix != ".py":
        return None
    is_slow = "\npytestmark = pytest.mark.slow\n" in collection_path.read_text(encoding="utf-8")
    return True if is_slow else None


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the cache of whoever runs it; child processes inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDLC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("IDLRT_CACHE_DIR", str(tmp_path_factory.mktemp("snapshots")))
        yield
