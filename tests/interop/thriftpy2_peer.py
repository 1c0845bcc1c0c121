"""thriftpy2 as a peer, pure or with its C extension. It reads the IDL itself."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import thriftpy2
from eventually import TIMEOUT
from peer_values import from_peer, to_peer
from thriftpy2.protocol import TCyBinaryProtocolFactory
from thriftpy2.protocol.apache_json import TApacheJSONProtocol

# What `thriftpy2.protocol` and `thriftpy2.transport` call by these names is the C extension.
from thriftpy2.protocol.binary import TBinaryProtocolFactory
from thriftpy2.protocol.compact import TCompactProtocolFactory
from thriftpy2.protocol.multiplex import TMultiplexedProtocolFactory
from thriftpy2.server import TThreadedServer
from thriftpy2.thrift import TApplicationException, TClient, TMultiplexedProcessor, TProcessor
from thriftpy2.transport import TCyBufferedTransportFactory, TCyFramedTransportFactory, TServerSocket, TSocket
from thriftpy2.transport.buffered import TBufferedTransportFactory
from thriftpy2.transport.framed import TFramedTransportFactory
from thriftpy2.transport.memory import TCyMemoryBuffer, TMemoryBuffer

from idlrt.errors import ApplicationError
from idlrt.spec import DeclaredError, Method, Service, StructType, struct

_numbers = itertools.count()


class Thriftpy2Client:
    """A client that speaks our values."""

    def __init__(self, client: TClient, service: Service, classes: dict[str, Any]) -> None:
        self._client = client
        self._service = service
        self._classes = classes

    def send(self, name: str, *values: Any) -> None:
        """Send a call; `values` are ours."""
        fields = self._service.methods[name].arguments
        given = {
            field.name: to_peer(value, field.type, self._classes) for field, value in zip(fields, values, strict=True)
        }
        self._client._send(name, **given)

    def receive(self, name: str) -> Any:
        """Its result, as ours; raises our classes."""
        method = self._service.methods[name]
        try:
            result = self._client._recv(name)
        except TApplicationException as error:
            raise ApplicationError(error.message or "", error.type) from None
        except tuple(self._classes[thrown.cls.__name__] for thrown in thrown_by(method)) as error:
            [thrown] = [each for each in thrown_by(method) if each.cls.__name__ == type(error).__name__]
            raise from_peer(error, thrown) from None
        return from_peer(result, method.result)

    def call(self, name: str, *values: Any) -> Any:
        """Call and wait, unless it is oneway."""
        self.send(name, *values)
        return None if self._service.methods[name].is_oneway else self.receive(name)

    def close(self) -> None:
        self._client.close()


class _Handler:
    """Stands before a handler that speaks our values."""

    def __init__(self, service: Service, classes: dict[str, Any], handler: Any) -> None:
        self._service = service
        self._classes = classes
        self._handler = handler

    def __getattr__(self, name: str) -> Any:
        method = self._service.methods[name]

        def call(*values: Any) -> Any:
            ours = [from_peer(value, field.type) for field, value in zip(method.arguments, values, strict=True)]
            try:
                return to_peer(getattr(self._handler, name)(*ours), method.result, self._classes)
            except DeclaredError as error:
                raise to_peer(error, struct(type(error)), self._classes) from None
            except ValueError:
                raise TApplicationException(TApplicationException.INTERNAL_ERROR, "Internal error") from None

        return call


def thrown_by(method: Method[..., Any]) -> list[StructType[Any]]:
    """The types of the exceptions that the IDL declares for it."""
    return [field.type for field in method.throws if isinstance(field.type, StructType)]


class _ServerSocket(TServerSocket):
    """Listens on a free port at once; `close` ends the server's loop."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0, client_timeout=60_000)
        super().listen()
        # `close` of the library forgets it.
        assert self.sock is not None
        self.socket = self.sock
        self.port: int = self.socket.getsockname()[1]

    def listen(self) -> None:
        pass

    def accept(self) -> Any:
        try:
            return super().accept()
        except OSError:
            # The loop of `TThreadedServer` lets nothing else through.
            raise KeyboardInterrupt from None

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class _JsonFactory:
    """thriftpy2's own protocol reads one message, and then that one again and again."""

    def get_protocol(self, trans: Any) -> Any:
        return _Json(trans)


class _Json(TApacheJSONProtocol):
    def read_message_end(self) -> None:
        self._req = None


class Thriftpy2Peer:
    """thriftpy2.

    Args:
        idl: the file it loads.
        service: ours, that is served and called.
        newer: a service with a method more, for clients.
        protocol: the name of the protocol.
        is_accelerated: with its C extension, which has transports, and of the protocols binary.
        is_strict: what it writes of binary.
    """

    def __init__(
        self,
        idl: Path,
        service: Service,
        newer: Service,
        *,
        protocol: str = "binary",
        is_accelerated: bool,
        is_strict: bool = True,
    ) -> None:
        module = thriftpy2.load(str(idl), module_name=f"interop{next(_numbers)}_thrift")
        self.classes: dict[str, Any] = vars(module)
        self._service = service
        self._newer = newer
        self._is_accelerated = is_accelerated
        if protocol == "binary":
            make = TCyBinaryProtocolFactory if is_accelerated else TBinaryProtocolFactory
            self._protocols: Any = make(strict_read=False, strict_write=is_strict)
        else:
            self._protocols = TCompactProtocolFactory() if protocol == "compact" else _JsonFactory()

    def _transports(self, framing: str) -> Any:
        if self._is_accelerated:
            return TCyFramedTransportFactory() if framing == "framed" else TCyBufferedTransportFactory()
        return TFramedTransportFactory() if framing == "framed" else TBufferedTransportFactory()

    @contextlib.contextmanager
    def serve(self, framing: str, handler: Any, services: Mapping[str, Any] | None = None) -> Iterator[int]:
        """Serve on a thread; gives the port.

        Args:
            services: handlers by the names of multiplexed services, which then take the place of `handler`.
        """
        listening = _ServerSocket()
        processor = self._processor(handler)
        if services is not None:
            processor = TMultiplexedProcessor()
            for name, each in services.items():
                processor.register_processor(name, self._processor(each))
        server = TThreadedServer(
            processor,
            listening,
            itrans_factory=self._transports(framing),
            iprot_factory=self._protocols,
            daemon=True,
        )

        def run() -> None:
            with contextlib.suppress(KeyboardInterrupt):
                server.serve()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield listening.port
        finally:
            listening.end()
            thread.join(TIMEOUT)
            listening.socket.close()
            assert not thread.is_alive()

    def _processor(self, handler: Any) -> TProcessor:
        return TProcessor(self.classes[self._service.name], _Handler(self._service, self.classes, handler))

    def connect(self, framing: str, port: int, service: str = "") -> Thriftpy2Client:
        """A client.

        Args:
            service: the name of a multiplexed service.
        """
        raw = TSocket("127.0.0.1", port, socket_timeout=20_000)
        transport = self._transports(framing).get_transport(raw)
        transport.open()
        protocols = TMultiplexedProtocolFactory(self._protocols, service) if service else self._protocols
        client = TClient(self.classes[self._newer.name], protocols.get_protocol(transport))
        return Thriftpy2Client(client, self._newer, self.classes)

    def encode(self, value: Any) -> bytes:
        """The bytes of one of our values, as thriftpy2 writes them."""
        buffer = TCyMemoryBuffer() if self._is_accelerated else TMemoryBuffer()
        protocol = self._protocols.get_protocol(buffer)
        to_peer(value, struct(type(value)), self.classes).write(protocol)
        return bytes(buffer.getvalue())

    def decode(self, cls: Any, data: bytes) -> Any:
        """A value of our class `cls` from bytes, as thriftpy2 reads them."""
        buffer = TCyMemoryBuffer(data) if self._is_accelerated else TMemoryBuffer(data)
        made = self.classes[cls.__name__]()
        made.read(self._protocols.get_protocol(buffer))
        return from_peer(made, struct(cls))
