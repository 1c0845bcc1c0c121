"""Support of a server for the member `meta`, as learned by a client, shared by all connections to the server."""

from __future__ import annotations

from typing import Final

from idlrt.protocol.base import Capabilities
from idlrt.protocol.jsonrpc.server import CAPABILITIES

__all__ = ["MetaSupport"]

_PLAIN: Final = Capabilities()


class MetaSupport:
    """Whether a server supports requests with `meta`. Thread-safe.

    Attributes:
        supports_meta: whether the server supports `meta`; `None` while it is unknown.
        capabilities: capabilities of connections to the server.
    """

    def __init__(self) -> None:
        self.supports_meta: bool | None = None
        self.capabilities = CAPABILITIES

    def refused(self) -> None:
        """Record that the server does not support `meta`."""
        self.supports_meta = False
        self.capabilities = _PLAIN
