"""The embedded registry does what every registry has to, in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from idlrt.embedded import RegistryServer
from idlrt.registry import Registry
from idlrt.testing import REGISTRY_CHECKS


@pytest.fixture(scope="module", params=["memory", "disk"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    data: Path | None = tmp_path_factory.mktemp("registry") / "registry.db" if request.param == "disk" else None
    with RegistryServer(data=data) as made:
        yield made


@pytest.mark.parametrize("check", REGISTRY_CHECKS.values(), ids=REGISTRY_CHECKS.keys())
def test_conformance(server: RegistryServer, check: Callable[[Callable[[], Registry]], None]) -> None:
    check(lambda: Registry.connect(f"{server.url}?timeout=60", cache=False, empty_protection=False))
