"""What a client has found out about a server, for all connections to it."""

from __future__ import annotations

from typing import Final

from idlrt.protocol.base import Capabilities
from idlrt.protocol.jsonrpc.server import CAPABILITIES

__all__ = ["MetaSupport"]

_PLAIN: Final = Capabilities()


class MetaSupport:
    """Whether a server takes requests with `meta`. Threads may share it.

    Attributes:
        takes_meta: `None` until that is known.
        capabilities: of connections to the server.
    """

    def __init__(self) -> None:
        self.takes_meta: bool | None = None
        self.capabilities = CAPABILITIES

    def refused(self) -> None:
        """Note that the server takes no `meta`."""
        self.takes_meta = False
        self.capabilities = _PLAIN
