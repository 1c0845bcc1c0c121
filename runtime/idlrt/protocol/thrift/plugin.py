"""Thrift as an `RpcProtocol` plugin: serializations, framings and client options."""

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
# Maximum white space before the first element of an array, in bytes.
_BLANKS: Final = 64
_FRAMED, _HEADER, _AUTO = "framed", "header", "auto"
# Framings to try with `framing="auto"`, the most widely supported first, unless the registry knows those of the server.
_CANDIDATES: Final = (_FRAMED, "unframed", _HEADER)


class ThriftProtocol:
    """Thrift in its framings: framed, unframed, THeader; an `RpcProtocol`.

    Options of clients: `framing` (`framed`, `unframed`, `header`, `header_zlib` or a plugin's) and `serialization`
    (`binary`, `compact`, `json` or a plugin's).
    """

    name = "thrift"
    serializations: tuple[str, ...] = ("binary", "compact", "json")

    def sniff(self, prefix: bytes, limits: Limits) -> Sniff:
        if prefix[:1] == b"[":
            # `[1,` is Thrift's JSON; `[{` and `[]` are not.
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
        return ServerConnection(detector(limits), served.methods)

    def clients(
        self, options: Mapping[str, Any], limits: Limits, instance: Instance | None = None
    ) -> tuple[ThriftClient, ...]:
        """Return one dialect, or with `framing="auto"` all framings to try, in order."""
        for name, value in options.items():
            if name not in _OPTIONS:
                raise ConfigurationError(f"unknown option {name!r} of protocol thrift (known: {', '.join(_OPTIONS)})")
            if not isinstance(value, str):
                raise ConfigurationError(f"{name}: must be a name, got {value!r}")
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
    """Return the default framing for a server: the best one that the registry lists, or the most common one."""
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
            return None  # it does not support the serialization
        raise


class ThriftClient:
    """Thrift with one framing and one serialization; a `ClientProtocol`."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect: Final = dialect
        self.name = repr(dialect)
        self.capabilities = capabilities(dialect.framing)

    def __repr__(self) -> str:
        return self.name

    def connect(self, service: str = "") -> ClientEnd:
        return ClientConnection(self.dialect, service)

    def advice(self) -> str:
        other = "unframed" if self.dialect.framing.name == "framed" else "framed"
        return f'if the server requires {other} messages, connect with framing="{other}" (or "auto")'

    def metadata_advice(self) -> str:
        if self.capabilities.metadata:
            return ""
        return (
            f"framing {self.dialect.framing.name!r} carries no metadata; "
            'connect with framing="header" if the server supports it, or set no metadata'
        )
