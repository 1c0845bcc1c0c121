"""What a registry that does not answer is said to suffer from."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from eventually import TIMEOUT, eventually

from idlrt.errors import RegistryUnavailable
from idlrt.registry import Registry, RegistryUrl
from idlrt.registry.memory import MemoryBackend


class Deaf(MemoryBackend):
    """Knows why it does not answer, but says so only when it may."""

    def __init__(self, url: RegistryUrl, may_say_so: threading.Event) -> None:
        super().__init__(url)
        self.may_say_so = may_say_so

    async def open(self, lost: Callable[[], None]) -> None:
        await asyncio.to_thread(self.may_say_so.wait, TIMEOUT)
        raise RegistryUnavailable("the cable is cut")


def test_who_asks_is_told_why_there_is_no_answer_when_that_is_known() -> None:
    may_say_so = threading.Event()
    with Registry(lambda: Deaf(RegistryUrl.parse("memory://deaf"), may_say_so), "deaf") as registry:
        with pytest.raises(RegistryUnavailable, match=r"deaf did not respond within 0.01 s"):
            registry.groups(timeout=0.01)
        may_say_so.set()
        eventually(lambda: registry.trouble)
        with pytest.raises(RegistryUnavailable, match=r"deaf did not respond within 0.01 s: the cable is cut"):
            registry.groups(timeout=0.01)
