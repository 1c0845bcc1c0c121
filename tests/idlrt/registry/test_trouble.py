"""What a registry that does not answer is said to suffer from."""

from __future__ import annotations

import asyncio

import pytest

from idlrt.errors import RegistryUnavailable
from idlrt.registry import Registry, RegistryUrl
from idlrt.registry.memory import MemoryBackend


class Deaf(MemoryBackend):
    """Knows why it does not answer, but takes its time to say so."""

    async def open(self, lost: object) -> None:
        """See `Backend.open`."""
        await asyncio.sleep(0.05)
        raise RegistryUnavailable("the cable is cut")


def test_who_asks_is_told_why_there_is_no_answer() -> None:
    with Registry(lambda: Deaf(RegistryUrl.parse("memory://deaf")), "deaf") as registry:
        for _ in range(5):  # whichever clock runs out first: the question's, or that of who waits for it
            with pytest.raises(RegistryUnavailable, match="the cable is cut"):
                registry.groups(timeout=0.2)
