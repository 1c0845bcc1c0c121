"""JSON-RPC as a protocol among others: how its clients are told, and what their options are."""

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
"""Bytes that are looked at; an array that has nothing but white space in them is not JSON-RPC."""


class JsonRpcProtocol:
    """JSON-RPC 2.0, one message a line. See `RpcProtocol`. Clients have no options."""

    name = "jsonrpc"
    serializations: tuple[str, ...] = ("plain_json",)

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        """See `RpcProtocol.sniff`. What begins with `[` and a number is Thrift's JSON.

        No frame of Thrift begins so: as a length it is over every limit.
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
        """See `RpcProtocol.server`."""
        return ServerConnection(served.methods, limits)

    def clients(
        self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
    ) -> tuple[JsonRpcClient, ...]:
        """See `RpcProtocol.clients`."""
        for name, value in options.items():
            if value is not None:
                raise ConfigurationError(f"jsonrpc has no option {name!r}; leave {name}={value!r} out")
        return (JsonRpcClient(limits),)


class JsonRpcClient(MetaSupport):
    """JSON-RPC with the limits of a client, to one server. See `ClientProtocol`."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self.name = "jsonrpc"

    def __repr__(self) -> str:
        return self.name

    def connect(self, service: str = "") -> ClientEnd:
        """See `ClientProtocol.connect`."""
        return ClientConnection(self._limits, service, self)

    def advice(self) -> str:
        """See `ClientProtocol.advice`."""
        return "if it does not speak JSON-RPC in lines, connect with tcp://host:port for Thrift"

    def metadata_advice(self) -> str:
        """See `ClientProtocol.metadata_advice`."""
        return "" if self.capabilities.metadata else "the server refuses requests with `meta`; set no metadata"
