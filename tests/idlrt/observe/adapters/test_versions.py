"""Versions of libraries that adapters support."""

from __future__ import annotations

import pytest

from idlrt.errors import ConfigurationError
from idlrt.observe.adapters.versions import check_version


@pytest.mark.parametrize("version", ["6.0.0", "6.4", "8.1.0", "8.99.1rc1"])
def test_supported_versions(version: str) -> None:
    check_version("redis-py", version, (6, 0), (9, 0))


@pytest.mark.parametrize("version", ["5.9", "9.0.0", "10.1", "unknown", ""])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"cannot instrument redis-py .*: supported are versions from 6\.0 and"
    ):
        check_version("redis-py", version, (6, 0), (9, 0))
