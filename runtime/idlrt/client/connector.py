"""Connector of blocking clients: opens connections to a server, detects its protocol, and backs off after failures."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from idlrt.client.backoff import Backoff
from idlrt.client.errors import connect_failed, reason
from idlrt.client.measuring import record_connect
from idlrt.client.peer_state import PeerState
from idlrt.client.protocol_probe import ProtocolUnknown, find_protocol
from idlrt.core import Call, drive
from idlrt.errors import ConnectFailed
from idlrt.net.blocking import BlockingTransport
from idlrt.protocol import ClientConnection, ClientProtocol, ConnectionBroken, DataToSend
from idlrt.protocol.foreign import ForeignProtocol

__all__ = ["Connector"]


class Connector(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Connector to one server. Threads may share it.

    Attributes:
        open: opens a connection within a timeout in seconds; raises `OSError`.
        peer: state of the server, with its protocol.
        service: name of the service on a server with several services; empty for a server with one.
        connect_timeout: timeout for establishing a connection, in seconds.
        backoff: pauses between failed attempts.
    """

    open: Callable[[float], BlockingTransport]
    peer: PeerState
    service: str = ""
    connect_timeout: float
    backoff: Backoff = msgspec.field(default_factory=Backoff)

    def connect(self, call: Call, until: float) -> tuple[BlockingTransport, ClientConnection]:
        """Open a connection, on behalf of `call`.

        Args:
            until: deadline of the call, on the clock of `time.monotonic`.

        Raises:
            ConnectFailed: no connection could be established; nothing has been sent.
        """
        self.backoff.check(call)
        began = time.monotonic()
        seconds = min(self.connect_timeout, until - began)
        try:
            protocol = self.peer.protocol or self._find_protocol(call, until)
            transport = self._open(until)
        except OSError as error:
            record_connect(call, time.monotonic() - began, error)
            raise self._failed(connect_failed(call, error, max(seconds, 0.0), self.peer)) from error
        record_connect(call, time.monotonic() - began)
        self.backoff.succeeded()
        return transport, protocol.connect(self.service)

    def _failed(self, failure: ConnectFailed) -> ConnectFailed:
        # No local variable of `connect` may refer to the error: a reference cycle through its traceback would keep the
        # objects of the callers alive.
        self.backoff.failed(failure)
        return failure

    def _open(self, until: float) -> BlockingTransport:
        seconds = min(self.connect_timeout, until - time.monotonic())
        if seconds <= 0:
            raise TimeoutError
        return self.open(seconds)

    def _find_protocol(self, call: Call, until: float) -> ClientProtocol:
        with self.peer.probing(until):
            found: ClientProtocol = self.peer.protocol or drive(find_protocol(self.peer, call, self._probe))
        return found

    async def _probe(self, protocol: ClientProtocol, ping: Call) -> str:
        """Ping the server in `protocol`; see `idlrt.client.protocol_probe.Probe`. Never suspends."""
        until = ping.deadline.at
        transport = self._open(until)
        try:
            connection = protocol.connect(self.service)
            transport.send(connection.ping()[1], until)
            while data := transport.receive(until):
                for event in connection.receive_data(data):
                    if isinstance(event, DataToSend):
                        transport.send(event.data, until)
                        continue
                    if not isinstance(event, ConnectionBroken):
                        self.peer.has_answered = True
                        return ""
                    if isinstance(event.error, ForeignProtocol):
                        raise ProtocolUnknown(str(event.error))
                    return str(event.error)
        except ProtocolUnknown:
            raise
        except TimeoutError:
            return f"no response within {ping.deadline.timeout:.3g} s"
        except OSError as error:
            return reason(error)
        finally:
            transport.close()
        return reason(None)
