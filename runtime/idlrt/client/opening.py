"""Making the connections of blocking clients: to whom, what is spoken over them, and how often it is tried."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from idlrt.client.backoff import Backoff
from idlrt.client.peer_state import PeerState
from idlrt.client.sender import connect_failed
from idlrt.core import Call
from idlrt.errors import ConnectFailed
from idlrt.net.blocking import BlockingTransport
from idlrt.wire.connection import ClientConnection

__all__ = ["Opening"]


class Opening(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How connections to one target are made. Threads may share it.

    Attributes:
        open: makes a connection within the seconds it is given; raises `OSError`.
        peer: what is known of the server, and what it is spoken to in.
        service: the name of the service among several that the server has; empty for a server that has one.
        connect_timeout: seconds that making a connection may take.
        backoff: when it may be tried.
    """

    open: Callable[[float], BlockingTransport]
    peer: PeerState
    service: str = ""
    connect_timeout: float
    backoff: Backoff = msgspec.field(default_factory=Backoff)

    def connect(self, call: Call, until: float) -> tuple[BlockingTransport, ClientConnection]:
        """A new connection, for `call` in the first place.

        Raises:
            ConnectFailed: there is none; it says why, and nothing has been sent.
        """
        self.backoff.check(call)
        seconds = min(self.connect_timeout, until - time.monotonic())
        try:
            if seconds <= 0:
                raise TimeoutError
            transport = self.open(seconds)
        except OSError as error:
            failure: ConnectFailed = connect_failed(call, error, max(seconds, 0.0), self.peer)
            self.backoff.failed(failure)
            raise failure from error
        self.backoff.succeeded()
        return transport, ClientConnection(self.peer.dialect, self.service)
