"""The registry in memory, and what `Registry` does whatever the kind: it can be made to fail at will."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from idlrt.registry import Registry
from idlrt.testing.registry import REGISTRY_CHECKS, Make


@pytest.mark.parametrize("check", REGISTRY_CHECKS.values(), ids=REGISTRY_CHECKS.keys())
def test_conformance(check: Callable[[Make], None]) -> None:
    name = uuid.uuid4().hex
    check(lambda: Registry.connect(f"memory://{name}", empty_protection=False))
