"""Registry clients shared within a process, with reference counts."""

from __future__ import annotations

import threading
from typing import Final

from idlrt.core.forks import forks
from idlrt.registry.client import Registry
from idlrt.registry.url import RegistryUrl

__all__ = ["shared_registries"]


class _Shared:
    """Registry clients by URL, with reference counts: all users of a URL share one session, one thread and one copy of
    each snapshot.
    """

    def __init__(self) -> None:
        self._registries: dict[str, tuple[Registry, int]] = {}
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Reset after a fork: the parent's lock may be held."""
        self._lock = threading.Lock()

    def acquire(self, url: RegistryUrl) -> Registry:
        """Return the registry at `url` and count one more reference."""
        with self._lock:
            registry, users = self._registries.get(url.identity, (None, 0))
            if registry is None:
                registry = Registry.connect(url)
            self._registries[url.identity] = registry, users + 1
            return registry

    def release(self, url: RegistryUrl) -> None:
        """Release a reference; the last one closes the registry."""
        with self._lock:
            registry, users = self._registries[url.identity]
            if users > 1:
                self._registries[url.identity] = registry, users - 1
                return
            del self._registries[url.identity]
        registry.close()


shared_registries: Final = _Shared()
