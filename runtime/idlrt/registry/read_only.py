"""Base class of read-only registry backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.errors import RegistryRefused

__all__ = ["ReadOnly"]


class ReadOnly:
    """Write and list operations of a `Backend` that can only be read: each raises `RegistryRefused`.

    Attributes:
        why: reason, for messages.
    """

    is_read_only = True
    why: ClassVar[str]
    _name: str

    async def register(self, instance: Instance) -> None:
        raise self._refuse("register")

    async def reclaim(self, instance: Instance) -> None:
        raise self._refuse("register")

    async def deregister(self, instance: Instance) -> None:
        raise self._refuse("deregister")

    async def patch(self, key: ServiceKey, id: str, patch: Patch | None) -> None:
        raise self._refuse("modify an instance")

    async def configure(self, key: ServiceKey, settings: Mapping[str, str]) -> None:
        raise self._refuse("configure a service")

    async def remove(self, key: ServiceKey) -> None:
        raise self._refuse("remove a service")

    async def groups(self) -> list[str]:
        raise self._refuse("list groups")

    async def services(self, group: str) -> list[str]:
        raise self._refuse("list services")

    def _refuse(self, what: str) -> RegistryRefused:
        return RegistryRefused(f"cannot {what} at {self._name}: {self.why}")
