"""Conformance suite for the embedded registry, in memory and on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from idlrt.embedded import RegistryServer
from idlrt.registry import Registry
from idlrt.testing import HEARTBEAT_CHECKS, REGISTRY_CHECKS


@pytest.fixture(scope="module", params=["memory", "disk"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    data: Path | None = tmp_path_factory.mktemp("registry") / "registry.db" if request.param == "disk" else None
    with RegistryServer(data=data) as made:
        yield made


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=pytest.mark.slow if each in HEARTBEAT_CHECKS else ()) for each in REGISTRY_CHECKS],
)
def test_conformance(server: RegistryServer, name: str) -> None:
    url = f"{server.url}?timeout={3 if name in HEARTBEAT_CHECKS else 60}"
    REGISTRY_CHECKS[name](lambda: Registry.connect(url, cache=False, empty_protection=False))
