"""What kinds of registry have in common that can only be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from idlrt.core import Instance, Patch, ServiceKey
from idlrt.errors import RegistryRefused

__all__ = ["ReadOnly"]


class ReadOnly:
    """The half of a `Backend` that changes and lists: all of it is refused.

    Attributes:
        why: it cannot be done, for messages.
    """

    is_read_only = True
    why: ClassVar[str]
    _name: str

    async def register(self, instance: Instance) -> None:
        """See `Backend.register`. Refused."""
        raise self._refuse("register")

    async def reclaim(self, instance: Instance) -> None:
        """See `Backend.reclaim`. Refused."""
        raise self._refuse("register")

    async def deregister(self, instance: Instance) -> None:
        """See `Backend.deregister`. Refused."""
        raise self._refuse("deregister")

    async def patch(self, key: ServiceKey, id: str, patch: Patch | None) -> None:
        """See `Backend.patch`. Refused."""
        raise self._refuse("change an instance")

    async def configure(self, key: ServiceKey, settings: Mapping[str, str]) -> None:
        """See `Backend.configure`. Refused."""
        raise self._refuse("configure a service")

    async def remove(self, key: ServiceKey) -> None:
        """See `Backend.remove`. Refused."""
        raise self._refuse("remove a service")

    async def groups(self) -> list[str]:
        """See `Backend.groups`. Refused."""
        raise self._refuse("list groups")

    async def services(self, group: str) -> list[str]:
        """See `Backend.services`. Refused."""
        raise self._refuse("list services")

    def _refuse(self, what: str) -> RegistryRefused:
        return RegistryRefused(f"cannot {what} at {self._name}: {self.why}")
