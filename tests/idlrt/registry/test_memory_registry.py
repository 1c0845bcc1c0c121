"""Conformance suite for the in-memory registry, and behavior of `Registry` with simulated failures."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from registry_heard import why_not

from idlrt.core import Freshness, Instance
from idlrt.errors import RegistryUnavailable
from idlrt.registry import Registry
from idlrt.registry.memory import memory_store
from idlrt.testing.registry import REGISTRY_CHECKS, Make


@pytest.mark.parametrize("check", REGISTRY_CHECKS.values(), ids=REGISTRY_CHECKS.keys())
def test_conformance(check: Callable[[Make], None]) -> None:
    name = uuid.uuid4().hex
    check(lambda: Registry.connect(f"memory://{name}", empty_protection=False))


def test_a_query_timeout_names_the_cause() -> None:
    name = uuid.uuid4().hex
    memory_store(name).is_down = True
    with Registry.connect(f"memory://{name}") as registry:
        # Either timeout may expire first: that of the query, or that of its caller.
        for _ in range(10):
            error = why_not(registry)
            assert isinstance(error, RegistryUnavailable)
            assert "the in-memory registry is down" in str(error)


def test_closing_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with Registry.connect(f"memory://{uuid.uuid4().hex}") as registry:
        registry.register(Instance(service="demo", host="127.0.0.1", port=1)).wait()
        subscription = registry.subscribe("demo")
        subscription.wait()
    snapshot = subscription.snapshot
    assert snapshot is not None
    assert (len(snapshot.instances), snapshot.freshness) == (1, Freshness.LIVE)
    assert "has no instance" not in caplog.text
