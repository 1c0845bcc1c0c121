"""What all tests share: a cache folder of their own, and how hypothesis runs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the cache of whoever runs it; child processes inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDLC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("IDLRT_CACHE_DIR", str(tmp_path_factory.mktemp("snapshots")))
        yield
