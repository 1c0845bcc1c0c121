"""Apache's library calling and serving `get` and `poke` of `hand_written`: protocol and transport are given."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from eventually import TIMEOUT
from hand_written import User, scripted_server
from thrift.protocol.TProtocol import TProtocolBase
from thrift.Thrift import TApplicationException, TMessageType, TProcessor, TType
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TTransportException

from idlrt.errors import ApplicationError


def apache_socket(port: int) -> TSocket:
    """A connection to a server of this machine."""
    raw = TSocket("127.0.0.1", port)
    raw.setTimeout(TIMEOUT * 1000)
    raw.open()
    return raw


def call(protocol: Any, name: str, number: int, id: int) -> None:
    """Send a call of `get`, or of `poke`, which is oneway."""
    kind = TMessageType.ONEWAY if name == "poke" else TMessageType.CALL
    protocol.writeMessageBegin(name, kind, number)
    protocol.writeStructBegin("arguments")
    protocol.writeFieldBegin("id", TType.I64, 1)
    protocol.writeI64(id)
    protocol.writeFieldEnd()
    protocol.writeFieldStop()
    protocol.writeStructEnd()
    protocol.writeMessageEnd()
    protocol.trans.flush()


def answer(protocol: Any) -> tuple[str, int, User]:
    """The answer to `get`: the name and number it came with, and the user.

    Raises:
        ApplicationError: the server refused.
    """
    name, kind, number = protocol.readMessageBegin()
    if kind == TMessageType.EXCEPTION:
        refusal = TApplicationException()
        refusal.read(protocol)
        protocol.readMessageEnd()
        raise ApplicationError(refusal.message, refusal.type)
    assert kind == TMessageType.REPLY
    values = dict(fields(protocol))
    protocol.readMessageEnd()
    return name, number, User(id=values[0][1], name=values[0].get(2))


def fields(protocol: Any) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a struct of `i64`, strings and structs."""
    protocol.readStructBegin()
    while True:
        _, kind, number = protocol.readFieldBegin()
        if kind == TType.STOP:
            break
        if kind == TType.STRUCT:
            yield number, dict(fields(protocol))
        else:
            yield number, protocol.readI64() if kind == TType.I64 else protocol.readString()
        protocol.readFieldEnd()
    protocol.readStructEnd()


class ApacheUsers(TProcessor):
    """Serves `get`, as what Apache's compiler writes would.

    Args:
        prefix: of the names of users.
    """

    def __init__(self, prefix: str = "user") -> None:
        self.prefix = prefix

    def process(self, iprot: TProtocolBase, oprot: TProtocolBase) -> None:
        name, _, number = iprot.readMessageBegin()
        if name != "get":
            iprot.skip(TType.STRUCT)
            iprot.readMessageEnd()
            refusal = TApplicationException(TApplicationException.UNKNOWN_METHOD, f"Unknown function {name}")
            oprot.writeMessageBegin(name, TMessageType.EXCEPTION, number)
            refusal.write(oprot)
            oprot.writeMessageEnd()
            oprot.trans.flush()
            return
        ((_, id),) = fields(iprot)
        iprot.readMessageEnd()
        oprot.writeMessageBegin(name, TMessageType.REPLY, number)
        oprot.writeStructBegin("result")
        oprot.writeFieldBegin("success", TType.STRUCT, 0)
        oprot.writeStructBegin("User")
        oprot.writeFieldBegin("id", TType.I64, 1)
        oprot.writeI64(id)
        oprot.writeFieldEnd()
        oprot.writeFieldBegin("name", TType.STRING, 2)
        oprot.writeString(f"{self.prefix} {id}")
        oprot.writeFieldEnd()
        oprot.writeFieldStop()
        oprot.writeStructEnd()
        oprot.writeFieldEnd()
        oprot.writeFieldStop()
        oprot.writeStructEnd()
        oprot.writeMessageEnd()
        oprot.trans.flush()


@contextlib.contextmanager
def apache_server(processor: TProcessor, make: Callable[[TSocket], Any], connections: int = 1) -> Iterator[str]:
    """A server that speaks what `make` makes of a socket; gives its address."""

    def serve(raw: socket.socket) -> None:
        transport = TSocket()
        transport.setHandle(raw)
        protocol = make(transport)
        with contextlib.suppress(TTransportException):
            while True:
                processor.process(protocol, protocol)

    with scripted_server(*[serve] * connections) as address:
        yield address
