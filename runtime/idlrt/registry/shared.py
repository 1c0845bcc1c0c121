"""Registries that several users of one process have in common."""

from __future__ import annotations

import threading
from typing import Final

from idlrt.core.forks import forks
from idlrt.registry.client import Registry
from idlrt.registry.url import RegistryUrl

__all__ = ["shared_registries"]


class _Shared:
    """Registries that several users of one process have in common: one session, one thread, one copy of each
    snapshot.
    """

    def __init__(self) -> None:
        self._registries: dict[str, tuple[Registry, int]] = {}
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of this process: nobody holds the lock."""
        self._lock = threading.Lock()

    def take(self, url: RegistryUrl) -> Registry:
        """The registry at `url`, for one more user."""
        with self._lock:
            registry, users = self._registries.get(url.identity, (None, 0))
            if registry is None:
                registry = Registry.connect(url)
            self._registries[url.identity] = registry, users + 1
            return registry

    def give_back(self, url: RegistryUrl) -> None:
        """One user less; the last one closes it."""
        with self._lock:
            registry, users = self._registries[url.identity]
            if users > 1:
                self._registries[url.identity] = registry, users - 1
                return
            del self._registries[url.identity]
        registry.close()


shared_registries: Final = _Shared()
