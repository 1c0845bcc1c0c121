"""Apache's library as a peer. Its classes are made of our tables: no Apache compiler is needed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from eventually import TIMEOUT
from peer_handler import PEERS_METADATA
from peer_values import from_peer, to_peer
from thrift.protocol.TBase import TBase
from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.protocol.TCompactProtocol import TCompactProtocol, TCompactProtocolAccelerated
from thrift.protocol.THeaderProtocol import THeaderProtocol, THeaderProtocolFactory
from thrift.protocol.TJSONProtocol import TJSONProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.protocol.TProtocol import TProtocolFactory
from thrift.server.TServer import TThreadedServer
from thrift.Thrift import TApplicationException, TException, TFrozenDict, TMessageType, TProcessor, TType
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID, THeaderTransformID
from thrift.transport.TSocket import TServerSocket, TSocket
from thrift.transport.TTransport import (
    TBufferedTransportFactory,
    TFramedTransportFactory,
    TMemoryBuffer,
    TTransportBase,
)
from thrift.TRecursive import fix_spec

from idlrt.errors import ApplicationError
from idlrt.spec import (
    BaseType,
    DeclaredError,
    EnumType,
    Field,
    ListType,
    MapType,
    Method,
    Service,
    SetType,
    StructType,
    Type,
    VoidType,
    optional,
    struct,
)

_BASE = {
    "bool": TType.BOOL,
    "i8": TType.BYTE,
    "i16": TType.I16,
    "i32": TType.I32,
    "i64": TType.I64,
    "double": TType.DOUBLE,
    "string": TType.STRING,
    "binary": TType.STRING,
    "uuid": TType.UUID,
}


class _Value:
    """Base class with the methods that Apache's compiler generates into each class."""

    __slots__ = ()
    thrift_spec: tuple[Any, ...] = ()

    def __init__(self, **values: Any) -> None:
        for spec in self.thrift_spec:
            if spec is not None:
                setattr(self, spec[2], values.get(spec[2]))

    def __hash__(self) -> int:
        return hash(repr(self))


class _Unnumbered(_Value):
    """Base class for classes with negative ids: a table is indexed from 0, so Apache's compiler generates none."""

    __slots__ = ()
    rows: tuple[Any, ...] = ()

    def __init__(self, **values: Any) -> None:
        for row in self.rows:
            setattr(self, row[2], values.get(row[2]))

    def write(self, oprot: Any) -> None:
        oprot.writeStructBegin(type(self).__name__)
        for id, kind, name, arguments, _ in self.rows:
            if (value := getattr(self, name)) is not None:
                oprot.writeFieldBegin(name, kind, id)
                oprot.writeFieldByTType(kind, value, arguments)
                oprot.writeFieldEnd()
        oprot.writeFieldStop()
        oprot.writeStructEnd()

    def read(self, iprot: Any) -> None:
        rows = {row[0]: row for row in self.rows}
        iprot.readStructBegin()
        while True:
            _, kind, id = iprot.readFieldBegin()
            if kind == TType.STOP:
                break
            _, expected, name, arguments, _ = rows[id]
            assert kind == expected
            setattr(self, name, iprot.readFieldByTType(kind, arguments))
            iprot.readFieldEnd()
        iprot.readStructEnd()


class ApacheClasses(dict[str, Any]):
    """Apache's class for each of ours, by name.

    Args:
        module: our stubs.
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        self._ours = {name: getattr(module, name) for module in modules for name in module.__all__}
        for name, ours in self._ours.items():
            if hasattr(ours, "__thrift_fields__"):
                self[name]
        fix_spec([made for made in self.values() if made.thrift_spec])
        self["frozen map"] = TFrozenDict

    def __missing__(self, name: str) -> Any:
        ours = self._ours[name]
        if issubclass(ours, DeclaredError):
            made: Any = type(name, (_Value, TBase, TException), {})
            self[name] = made
            # An exception cannot define slots, but `TBase` looks there for the fields.
            made.__slots__ = tuple(field.name for field in ours.__thrift_fields__)
        elif any(field.id < 0 for field in ours.__thrift_fields__):
            made = self[name] = _class(name, ours.__thrift_fields__, _Unnumbered)
            made.rows = tuple(
                (field.id, kind, field.name, arguments, None)
                for field in sorted(ours.__thrift_fields__, key=lambda field: field.id)
                for kind, arguments in [self._kind(field.type)]
            )
            return made
        else:
            made = self[name] = _class(name, ours.__thrift_fields__)
        made.thrift_spec = self._table(ours.__thrift_fields__)
        return made

    def record(self, name: str, fields: tuple[Field[Any], ...]) -> Any:
        """The class for fields without one: arguments or results."""
        made = _class(name, fields)
        made.thrift_spec = self._table(fields)
        fix_spec([made])
        return made

    def _table(self, fields: tuple[Field[Any], ...]) -> tuple[Any, ...]:
        """`thrift_spec`: one entry for each number from 0, `None` where there is no field."""
        by_id = {field.id: field for field in fields}
        rows: list[Any] = []
        for id in range(max(by_id, default=-1) + 1):
            if id in by_id:
                kind, arguments = self._kind(by_id[id].type)
                rows.append((id, kind, by_id[id].name, arguments, None))
            else:
                rows.append(None)
        return tuple(rows)

    def _kind(self, type: Type[Any]) -> tuple[int, Any]:
        match type:
            case BaseType(name=name):
                return _BASE[name], {"string": "UTF8", "binary": "BINARY"}.get(name)
            case EnumType():
                return TType.I32, None
            case StructType() as referred:
                return TType.STRUCT, [self[referred.cls.__name__], None]
            case ListType() as sequence:
                return TType.LIST, (*self._kind(sequence.element), sequence.is_frozen)
            case SetType() as sequence:
                return TType.SET, (*self._kind(sequence.element), sequence.is_frozen)
            case MapType() as mapping:
                return TType.MAP, (*self._kind(mapping.key), *self._kind(mapping.value), mapping.is_frozen)
            case _:
                raise AssertionError(type)


def _class(name: str, fields: tuple[Field[Any], ...], base: Any = _Value) -> Any:
    return type(name, (base, TBase), {"__slots__": tuple(field.name for field in fields)})


class _Methods:
    """The classes of arguments and results of a service."""

    def __init__(self, service: Service, classes: ApacheClasses) -> None:
        self.service = service
        self.classes = classes
        self.arguments: dict[str, Any] = {}
        self.results: dict[str, Any] = {}
        for name, method in service.methods.items():
            success = () if isinstance(method.result, VoidType) else (optional(0, "success", method.result),)
            self.arguments[name] = classes.record(f"{name}_args", method.arguments)
            self.results[name] = classes.record(f"{name}_result", (*success, *method.throws))


class ApacheClient:
    """Client as Apache's compiler generates it.

    Args:
        first_sequence_id: sequence id of the first call.
    """

    def __init__(self, methods: _Methods, transport: Any, protocol: Any, first_sequence_id: int = 1) -> None:
        self._methods = methods
        self._transport = transport
        self._protocol = protocol
        self._sequence_id = first_sequence_id - 1
        self.metadata: Mapping[str, str] = {}

    def send(self, name: str, *values: Any) -> None:
        """Send a call with idlrt values. `metadata` is sent only if the transport is THeader."""
        method = self._methods.service.methods[name]
        made = self._methods.arguments[name]()
        for field, value in zip(method.arguments, values, strict=True):
            setattr(made, field.name, to_peer(value, field.type, self._methods.classes))
        self._sequence_id += 1
        kind = TMessageType.ONEWAY if method.is_oneway else TMessageType.CALL
        for key, text in self.metadata.items():
            self._protocol.set_header(key.encode(), text.encode())
        self._protocol.writeMessageBegin(name, kind, self._sequence_id)
        made.write(self._protocol)
        self._protocol.writeMessageEnd()
        self._transport.flush()

    def receive(self, name: str) -> Any:
        """Its result, as ours; raises our classes."""
        method = self._methods.service.methods[name]
        _, kind, _ = self._protocol.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            refusal = TApplicationException()
            refusal.read(self._protocol)
            self._protocol.readMessageEnd()
            raise ApplicationError(refusal.message, refusal.type)
        result = self._methods.results[name]()
        result.read(self._protocol)
        self._protocol.readMessageEnd()
        for field in method.throws:
            if (thrown := getattr(result, field.name)) is not None:
                raise from_peer(thrown, field.type)
        return None if isinstance(method.result, VoidType) else from_peer(result.success, method.result)

    def call(self, name: str, *values: Any) -> Any:
        """Call and wait, unless it is oneway."""
        self.send(name, *values)
        return None if self._methods.service.methods[name].is_oneway else self.receive(name)

    def close(self) -> None:
        self._transport.close()


class _Processor(TProcessor):
    """Processor as Apache's compiler generates it. `handler` uses idlrt values."""

    def __init__(self, methods: _Methods, handler: Any) -> None:
        self._methods = methods
        self._handler = handler

    def process(self, iprot: Any, oprot: Any) -> None:
        name, _, sequence_id = iprot.readMessageBegin()
        method = self._methods.service.methods.get(name)
        if method is None:
            iprot.skip(TType.STRUCT)
            iprot.readMessageEnd()
            refusal = TApplicationException(TApplicationException.UNKNOWN_METHOD, f"Unknown function {name}")
            self._answer(oprot, name, TMessageType.EXCEPTION, sequence_id, refusal)
            return
        arguments = self._methods.arguments[name]()
        arguments.read(iprot)
        iprot.readMessageEnd()
        if isinstance(iprot, THeaderProtocol):
            PEERS_METADATA.set({key.decode(): text.decode() for key, text in iprot.get_headers().items()})
        kind, answer = self._call(method, arguments)
        if not method.is_oneway:
            self._answer(oprot, name, kind, sequence_id, answer)

    def _call(self, method: Method[..., Any], arguments: Any) -> tuple[int, Any]:
        values = [from_peer(getattr(arguments, field.name), field.type) for field in method.arguments]
        result = self._methods.results[method.name]()
        try:
            value = getattr(self._handler, method.attribute)(*values)
        except DeclaredError as error:
            for field in method.throws:
                if isinstance(field.type, StructType) and isinstance(error, field.type.cls):
                    setattr(result, field.name, to_peer(error, field.type, self._methods.classes))
        except ValueError:
            return TMessageType.EXCEPTION, TApplicationException(TApplicationException.INTERNAL_ERROR, "Internal error")
        else:
            if not isinstance(method.result, VoidType):
                result.success = to_peer(value, method.result, self._methods.classes)
        return TMessageType.REPLY, result

    def _answer(self, oprot: Any, name: str, kind: int, sequence_id: int, body: Any) -> None:
        oprot.writeMessageBegin(name, kind, sequence_id)
        body.write(oprot)
        oprot.writeMessageEnd()
        oprot.trans.flush()


class _ServerSocket(TServerSocket):
    """Listens on a free port at once; `close` ends the server's loop."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0)
        super().listen()
        self.socket = self.handle
        self.port = self.socket.getsockname()[1]
        self._is_closed = False

    def listen(self) -> None:
        pass

    def accept(self) -> Any:
        try:
            return super().accept()
        except OSError:
            # The loop of `TThreadedServer` lets nothing else through.
            raise KeyboardInterrupt from None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class _Protocols(TProtocolFactory):
    """Apache's own factories have no choice of what is written, and fall back silently from C to Python."""

    def __init__(self, protocol: str, is_accelerated: bool, is_strict: bool) -> None:
        self._made = protocol, is_accelerated
        self._is_strict = is_strict

    def getProtocol(self, trans: Any) -> Any:
        match self._made:
            case "binary", True:
                return TBinaryProtocolAccelerated(trans, False, self._is_strict, fallback=False)
            case "binary", False:
                return TBinaryProtocol(trans, False, self._is_strict)
            case "compact", True:
                return TCompactProtocolAccelerated(trans, fallback=False)
            case "compact", False:
                return TCompactProtocol(trans)
            case "json", False:
                return TJSONProtocol(trans)
            case other:
                raise AssertionError(other)


class _HeaderProtocols(THeaderProtocolFactory):
    """Apache's own has no choice of transforms."""

    def __init__(self, protocol: str, is_compressed: bool) -> None:
        numbers = {"binary": THeaderSubprotocolID.BINARY, "compact": THeaderSubprotocolID.COMPACT}
        super().__init__((THeaderClientType.HEADERS,), numbers[protocol])
        self._is_compressed = is_compressed

    def getProtocol(self, trans: Any) -> THeaderProtocol:
        made = super().getProtocol(trans)
        if self._is_compressed:
            made.add_transform(THeaderTransformID.ZLIB)
        return made


class _Both(TTransportBase):
    """Reads given bytes, keeps what is written."""

    def __init__(self, data: bytes) -> None:
        self._reading = TMemoryBuffer(data)
        self._writing = TMemoryBuffer()
        self.read = self._reading.read
        self.write = self._writing.write
        self.getvalue = self._writing.getvalue


class ApachePeer:
    """Apache's library.

    Args:
        modules: our stubs.
        service: what is served and called.
        newer: a service with a method more, for clients.
        protocol: the name of the protocol.
        is_accelerated: with Apache's C extension.
        is_strict: what it writes of binary.
    """

    def __init__(
        self,
        modules: tuple[Any, ...],
        service: Service,
        newer: Service,
        *,
        protocol: str = "binary",
        is_accelerated: bool,
        is_strict: bool = True,
    ) -> None:
        self.classes = ApacheClasses(*modules)
        self._methods = _Methods(service, self.classes)
        self._newer = _Methods(newer, self.classes)
        self._protocol = protocol
        self._protocols = _Protocols(protocol, is_accelerated, is_strict)

    def _stack(self, framing: str) -> tuple[Any, Any]:
        """Factories of transports and of protocols."""
        if framing.startswith("header"):
            return TBufferedTransportFactory(), _HeaderProtocols(self._protocol, framing == "header_zlib")
        return TFramedTransportFactory() if framing == "framed" else TBufferedTransportFactory(), self._protocols

    @contextlib.contextmanager
    def serve(self, framing: str, handler: Any, services: Mapping[str, Any] | None = None) -> Iterator[int]:
        """Serve on a thread; gives the port.

        Args:
            services: further handlers, by the names of multiplexed services.
        """
        listening = _ServerSocket()
        processor: TProcessor = _Processor(self._methods, handler)
        if services is not None:
            multiplexed = TMultiplexedProcessor()
            multiplexed.registerDefault(processor)
            for name, each in services.items():
                multiplexed.registerProcessor(name, _Processor(self._methods, each))
            processor = multiplexed
        server = TThreadedServer(processor, listening, *self._stack(framing), daemon=True)

        def run() -> None:
            with contextlib.suppress(KeyboardInterrupt):
                server.serve()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield listening.port
        finally:
            listening.close()
            thread.join(TIMEOUT)
            listening.socket.close()
            assert not thread.is_alive()

    def connect(self, framing: str, port: int, service: str = "") -> ApacheClient:
        """A client.

        Args:
            service: the name of a multiplexed service.
        """
        raw = TSocket("127.0.0.1", port)
        raw.setTimeout(20_000)
        transports, protocols = self._stack(framing)
        transport = transports.getTransport(raw)
        transport.open()
        protocol = protocols.getProtocol(transport)
        if framing.startswith("header"):
            transport = protocol.trans
        if service:
            protocol = TMultiplexedProtocol(protocol, service)
        return ApacheClient(self._newer, transport, protocol)

    def encode(self, value: Any) -> bytes:
        """The bytes of one of our values, as Apache writes them."""
        buffer = TMemoryBuffer()
        to_peer(value, struct(type(value)), self.classes).write(self._protocols.getProtocol(buffer))
        return bytes(buffer.getvalue())

    def decode(self, cls: Any, data: bytes) -> Any:
        """A value of our class `cls` from bytes, as Apache reads them."""
        made = self.classes[cls.__name__]()
        made.read(self._protocols.getProtocol(TMemoryBuffer(data)))
        return from_peer(made, struct(cls))

    def encode_call(
        self,
        name: str,
        values: tuple[Any, ...],
        sequence_id: int,
        framing: str = "unframed",
        metadata: Mapping[str, str] | None = None,
    ) -> bytes:
        """The bytes of a whole call."""
        buffer = TMemoryBuffer()
        transports, protocols = self._stack(framing)
        transport = transports.getTransport(buffer)
        protocol = protocols.getProtocol(transport)
        client = ApacheClient(self._newer, protocol.trans, protocol, sequence_id)
        client.metadata = metadata or {}
        client.send(name, *values)
        return bytes(buffer.getvalue())

    def encode_answer(self, call: bytes, handler: Any, framing: str = "unframed") -> bytes:
        """The bytes of the whole answer to a call."""
        both = _Both(call)
        transports, protocols = self._stack(framing)
        protocol = protocols.getProtocol(transports.getTransport(both))
        _Processor(self._methods, handler).process(protocol, protocol)
        return bytes(both.getvalue())
