"""Error messages for an unresponsive registry."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from eventually import TIMEOUT, eventually

import idlrt.registry
from idlrt.errors import RegistryUnavailable
from idlrt.registry import Registry, RegistryUrl
from idlrt.registry.memory import MemoryBackend


class Deaf(MemoryBackend):
    """Fails to open, as soon as it is allowed to."""

    def __init__(self, url: RegistryUrl, may_say_so: threading.Event) -> None:
        super().__init__(url)
        self.may_say_so = may_say_so

    async def open(self, lost: Callable[[], None]) -> None:
        await asyncio.to_thread(self.may_say_so.wait, TIMEOUT)
        raise RegistryUnavailable("the cable is cut")


def test_a_query_timeout_names_the_cause_once_it_is_known() -> None:
    may_say_so = threading.Event()
    with Registry(lambda: Deaf(RegistryUrl.parse("memory://deaf"), may_say_so), "deaf") as registry:
        with pytest.raises(RegistryUnavailable, match=r"deaf did not respond within 0.01 s"):
            registry.groups(timeout=0.01)
        may_say_so.set()
        eventually(lambda: registry.last_error)
        with pytest.raises(RegistryUnavailable, match=r"deaf did not respond within 0.01 s: the cable is cut"):
            registry.groups(timeout=0.01)


def test_old_names_warn() -> None:
    with Registry.connect("memory://old-names") as registry:
        subscription = registry.subscribe("Users")
        with pytest.warns(DeprecationWarning, match="use last_error"):
            assert registry.trouble is None
        with pytest.warns(DeprecationWarning, match="use last_error"):
            assert subscription.trouble is None
    with pytest.warns(DeprecationWarning, match="renamed to ServiceData"):
        assert getattr(idlrt.registry, "Found") is idlrt.registry.ServiceData  # noqa: B009
