"""JSON-RPC as an `RpcProtocol` plugin: detection of its clients, and client options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from idlrt.errors import ConfigurationError
from idlrt.protocol.base import ClientConnection as ClientEnd
from idlrt.protocol.base import ServerConnection as ServerEnd
from idlrt.protocol.base import Sniff
from idlrt.protocol.jsonrpc.client import ClientConnection
from idlrt.protocol.jsonrpc.server import ServerConnection
from idlrt.protocol.jsonrpc.support import MetaSupport
from idlrt.serialization.base import Limits

if TYPE_CHECKING:
    from idlrt.core import Instance, Served

__all__ = ["JsonRpcClient", "JsonRpcProtocol"]

_BLANK: Final = b" \t\r\n"
_ARRAY, _OBJECT = b"[", b"{"
_MAX_SNIFF: Final = 64
"""Number of bytes that are checked; an array that starts with more white space is not recognized."""


class JsonRpcProtocol:
    """JSON-RPC 2.0 with one message per line; an `RpcProtocol`. Clients have no options."""

    name = "jsonrpc"
    serializations: tuple[str, ...] = ("plain_json",)

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        """Recognize an object or an array of objects. `[` followed by a number is Thrift's JSON.

        No Thrift frame starts with these bytes: as a length they exceed every limit.
        """
        first = prefix[:1]
        if first == _OBJECT:
            return Sniff.YES
        if first != _ARRAY:
            return Sniff.NO
        begin = prefix[1:_MAX_SNIFF].lstrip(_BLANK)[:1]
        if not begin:
            return Sniff.MORE if len(prefix) < _MAX_SNIFF else Sniff.NO
        return Sniff.YES if begin in b"{]" else Sniff.NO

    def server(self, served: Served, limits: Limits) -> ServerEnd:
        return ServerConnection(served.methods, limits)

    def clients(
        self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
    ) -> tuple[JsonRpcClient, ...]:
        for name, value in options.items():
            if value is not None:
                raise ConfigurationError(f"protocol jsonrpc has no option {name!r}; remove {name}={value!r}")
        return (JsonRpcClient(limits),)


class JsonRpcClient(MetaSupport):
    """JSON-RPC with the limits of a client, to one server; a `ClientProtocol`."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self.name = "jsonrpc"

    def __repr__(self) -> str:
        return self.name

    def connect(self, service: str = "") -> ClientEnd:
        return ClientConnection(self._limits, service, self)

    def advice(self) -> str:
        return "if the server does not speak JSON-RPC with one message per line, connect to tcp://host:port for Thrift"

    def metadata_advice(self) -> str:
        return "" if self.capabilities.metadata else "the server rejects requests with `meta`; set no metadata"
