"""Keys in etcd.

    /PREFIX/GROUP/SERVICE/instances/ID   an instance as JSON, attached to the lease of its server
    /PREFIX/GROUP/SERVICE/patches/ID     an operator's override for it, as JSON
    /PREFIX/GROUP/SERVICE/settings       settings of the service, a JSON object of strings

Names contain no slash, so the prefix `/PREFIX/GROUP/SERVICE/` matches exactly the keys of that service.
"""

from __future__ import annotations

from idlrt.core import ServiceKey

__all__ = ["Layout", "end_of"]


class Layout:
    """Keys under one prefix.

    Args:
        prefix: without slashes at its ends.
    """

    def __init__(self, prefix: str) -> None:
        self.root = f"/{prefix}/"

    def group(self, group: str) -> str:
        """Return the prefix of all keys of a group."""
        return f"{self.root}{group}/"

    def service(self, key: ServiceKey) -> str:
        """Return the prefix of all keys of a service."""
        return f"{self.root}{key.group}/{key.service}/"

    def folders(self, key: ServiceKey) -> tuple[str, str]:
        """Return the prefixes of the keys of a service's instances and of its patches."""
        return f"{self.service(key)}instances/", f"{self.service(key)}patches/"

    def instance(self, key: ServiceKey, id: str) -> bytes:
        """Return the key of an instance."""
        return f"{self.service(key)}instances/{id}".encode()

    def patch(self, key: ServiceKey, id: str) -> bytes:
        """Return the key of a patch."""
        return f"{self.service(key)}patches/{id}".encode()

    def settings(self, key: ServiceKey) -> bytes:
        """Return the key of the settings of a service."""
        return f"{self.service(key)}settings".encode()


def end_of(start: str) -> bytes:
    """Return the end of the key range with the prefix `start`, which must end with a slash."""
    return f"{start[:-1]}0".encode()
