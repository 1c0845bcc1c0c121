"""ZooKeeper as a registry, against a real one: what every registry has to do, in each layout."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from zookeeper_server import ZooKeeper, zookeeper

from idlrt.registry import Registry
from idlrt.testing.registry import REGISTRY_CHECKS, Make

__all__ = ["zookeeper"]


@pytest.mark.parametrize("layout", ["idlrt", "motan", "dubbo"])
@pytest.mark.parametrize("check", REGISTRY_CHECKS.values(), ids=REGISTRY_CHECKS.keys())
def test_conformance(zookeeper: ZooKeeper, check: Callable[[Make], None], layout: str) -> None:
    url = f"zookeeper://{zookeeper.address}/{uuid.uuid4().hex}?layout={layout}&timeout=3"
    check(lambda: Registry.connect(url, cache=False, empty_protection=False))
