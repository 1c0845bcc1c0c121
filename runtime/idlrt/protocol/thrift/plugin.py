"""Thrift as a protocol among others: its serializations, its framings, and the options of its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.protocol.base import ClientConnection as ClientEnd
from idlrt.protocol.base import ServerConnection as ServerEnd
from idlrt.protocol.base import Sniff
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection, capabilities
from idlrt.protocol.thrift.dialects import client_dialect
from idlrt.protocol.thrift.framing import FRAMINGS, Dialect
from idlrt.protocol.thrift.sniff import detector
from idlrt.serialization.base import Limits

if TYPE_CHECKING:
    from idlrt.core import Instance, Served

__all__ = ["ThriftClient", "ThriftProtocol"]

_OPTIONS: Final = ("framing", "serialization")
# White space that may stand before the first element of an array.
_BLANKS: Final = 64
_FRAMED, _HEADER, _AUTO = "framed", "header", "auto"
# What is tried, in this order unless an instance says what it reads: first what most servers read.
_CANDIDATES: Final = (_FRAMED, "unframed", _HEADER)


class ThriftProtocol:
    """Thrift in its framings: framed, unframed, THeader. See `RpcProtocol`.

    Options of clients: `framing` (`framed`, `unframed`, `header`, `header_zlib` or a plugin's) and `serialization`
    (`binary`, `compact`, `json` or a plugin's).
    """

    name = "thrift"
    serializations: tuple[str, ...] = ("binary", "compact", "json")

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        """See `RpcProtocol.sniff`."""
        if prefix[:1] == b"[":
            # `[1,` is Thrift's JSON; `[` with an object or nothing in it is another protocol's.
            inner = prefix[1:_BLANKS].lstrip()
            if not inner and len(prefix) < _BLANKS:
                return Sniff.MORE
            if inner[:1] in (b"{", b"]"):
                return Sniff.NO
        try:
            return Sniff.MORE if detector(limits).detect(prefix) is None else Sniff.YES
        except RemoteProtocolError:
            return Sniff.NO

    def server(self, served: Served, limits: Limits) -> ServerEnd:
        """See `RpcProtocol.server`."""
        return ServerConnection(detector(limits), served.methods)

    def clients(
        self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
    ) -> tuple[ThriftClient, ...]:
        """See `RpcProtocol.clients`. `framing="auto"` is to be found out."""
        for name, value in options.items():
            if name not in _OPTIONS:
                raise ConfigurationError(f"thrift has no option {name!r}; known: {', '.join(_OPTIONS)}")
            if not isinstance(value, str):
                raise ConfigurationError(f"{name} of a client must be a name, not {value!r}")
        values = options.get("serialization", "binary")
        framing = options.get("framing")
        if framing is None:
            framing = _best_framing(instance)
        if framing != _AUTO:
            return (ThriftClient(client_dialect(framing, values, limits)),)
        said = instance.protocols if instance is not None else ()
        order = dict.fromkeys((*(each for each in said if each in _CANDIDATES), *_CANDIDATES))
        found = [_candidate(each, values, limits) for each in order]
        return tuple(ThriftClient(each) for each in found if each is not None)


def _best_framing(instance: Instance | None) -> str:
    """The framing of a server: what any server may read, or what a registry says of it."""
    if instance is None:
        return _FRAMED
    if _HEADER in instance.protocols or not instance.protocols:
        return _HEADER
    if _FRAMED in instance.protocols:
        return _FRAMED
    known = [each for each in instance.protocols if each in FRAMINGS.names()]
    return known[0] if known else instance.protocols[0]


def _candidate(framing: str, values: str, limits: Limits) -> Dialect | None:
    try:
        return client_dialect(framing, values, limits)
    except ConfigurationError:
        if framing == _HEADER:
            return None  # it cannot carry the serialization
        raise


class ThriftClient:
    """Thrift in one framing, with one serialization. See `ClientProtocol`."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect: Final = dialect
        self.name = repr(dialect)
        self.capabilities = capabilities(dialect.framing)

    def __repr__(self) -> str:
        return self.name

    def connect(self, service: str = "") -> ClientEnd:
        """See `ClientProtocol.connect`."""
        return ClientConnection(self.dialect, service)

    def advice(self) -> str:
        """See `ClientProtocol.advice`."""
        other = "unframed" if self.dialect.framing.name == "framed" else "framed"
        return f'if it reads {other} messages, connect with framing="{other}" (or "auto")'

    def metadata_advice(self) -> str:
        """See `ClientProtocol.metadata_advice`."""
        if self.capabilities.metadata:
            return ""
        return (
            f"the framing {self.dialect.framing.name!r} carries none; "
            'connect with framing="header" if the server reads it, or set no metadata'
        )
