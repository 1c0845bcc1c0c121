"""Where things stand in etcd.

    /PREFIX/GROUP/SERVICE/instances/ID   an instance as JSON, under the lease of whoever registered it
    /PREFIX/GROUP/SERVICE/patches/ID     what an operator said about it, as JSON
    /PREFIX/GROUP/SERVICE/settings       the settings of the service, as a JSON object of texts

No name holds a slash, so what begins with `/PREFIX/GROUP/SERVICE/` is just what belongs to that service.
"""

from __future__ import annotations

from idlrt.core import ServiceKey

__all__ = ["Layout", "end_of"]


class Layout:
    """The keys under one prefix.

    Args:
        prefix: without slashes at its ends.
    """

    def __init__(self, prefix: str) -> None:
        self.root = f"/{prefix}/"

    def group(self, group: str) -> str:
        """What all keys of a group begin with."""
        return f"{self.root}{group}/"

    def service(self, key: ServiceKey) -> str:
        """What all keys of a service begin with."""
        return f"{self.root}{key.group}/{key.service}/"

    def folders(self, key: ServiceKey) -> tuple[str, str]:
        """What all keys of a service's instances, and of its patches, begin with."""
        return f"{self.service(key)}instances/", f"{self.service(key)}patches/"

    def instance(self, key: ServiceKey, id: str) -> bytes:
        """The key of an instance."""
        return f"{self.service(key)}instances/{id}".encode()

    def patch(self, key: ServiceKey, id: str) -> bytes:
        """The key of a patch."""
        return f"{self.service(key)}patches/{id}".encode()

    def settings(self, key: ServiceKey) -> bytes:
        """The key of the settings."""
        return f"{self.service(key)}settings".encode()


def end_of(start: str) -> bytes:
    """The first key after all that begin with `start`, which ends with a slash."""
    return f"{start[:-1]}0".encode()
