"""`lines`: a protocol as unlike Thrift as can be, in a package that depends on `idlrt` and that `idlrt` does not know.

A message is one line of lower-case text. There are no ids, so one request is in flight at a time; no metadata, no typed
context, no drain. Values are JSON, as `idlrt.serialization.json` writes it.

    ask userservice.get {"1":{"i64":5}}             ok {"0":{"rec":{...}}}
    ask get {"1":{"i64":-1}}                        threw {"1":{"rec":{...}}}
    ask nothing {}                                  no 1 - "there is no method 'nothing' ..."
    tell poke {"1":{"i64":5}}                       (no response)
    ping                                            pong
    a line over the limit                           bye "..."
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from idlrt.errors import ConfigurationError
from idlrt.protocol import Sniff
from idlrt.serialization import Limits
from lines_protocol.client import LinesClientConnection
from lines_protocol.messages import LINES
from lines_protocol.server import LinesServerConnection

if TYPE_CHECKING:
    from idlrt.core import Instance, Served

__all__ = ["LinesProtocol"]

_BEGINNINGS: Final = (b"ask ", b"tell ", b"ping\n")


class LinesProtocol:
    """The plugin: an `RpcProtocol`."""

    name = "lines"
    serializations: tuple[str, ...] = ("json",)

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        """Clients begin with one of three words."""
        if prefix.startswith(_BEGINNINGS):
            return Sniff.YES
        return Sniff.MORE if any(each.startswith(prefix) for each in _BEGINNINGS) else Sniff.NO

    def server(self, served: Served, limits: Limits) -> LinesServerConnection:
        """Return the server's end of a new connection."""
        return LinesServerConnection(served, limits)

    def clients(
        self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
    ) -> tuple[LinesClient, ...]:
        """Return the only way to speak it."""
        for name, value in options.items():
            if name != "serialization" or value not in self.serializations:
                raise ConfigurationError(f"lines has no option {name}={value!r}; known: serialization='json'")
        return (LinesClient(limits),)


class LinesClient:
    """The protocol with the options of one client: a `ClientProtocol`."""

    name = "lines"
    capabilities = LINES

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def connect(self, service: str = "") -> LinesClientConnection:
        """Return a new connection."""
        return LinesClientConnection(service, self._limits)

    def advice(self) -> str:
        """Return what may help if the server does not answer."""
        return "check that it speaks lines"

    def metadata_advice(self) -> str:
        """Return what may help to send metadata."""
        return "lines carries none; connect with another protocol"
