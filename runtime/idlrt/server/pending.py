"""Calls in flight: requests whose responses are sent later, and their slots in the response queue of a connection."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from idlrt.core import ServerCall
from idlrt.protocol import RequestReceived
from idlrt.server.method_table import MethodEntry

__all__ = ["PendingCall", "ResponseSlot"]


class ResponseSlot(msgspec.Struct, eq=False):
    """A slot in the response queue.

    Attributes:
        response: encoded response; `None` while there is none, empty if the client expects none.
    """

    response: bytes | None


class _Completer(Protocol):
    def complete(self, pending: PendingCall, result: Any, error: BaseException | None) -> None:
        """Respond to a call whose handler has finished."""
        ...


class PendingCall(ResponseSlot, eq=False):
    """A call whose handler runs on a worker or on the event loop. One object holds everything that is needed to
    respond, because there may be thousands of them.

    Attributes:
        session: session of the connection, which sends the response.
        request: the request.
        entry: entry of the method in the method table.
        call: the call, as filters and handler see it.
        decoded: memory of the arguments until the call is done, in bytes.
    """

    session: _Completer
    request: RequestReceived
    entry: MethodEntry
    call: ServerCall
    decoded: int

    def done(self, result: Any, error: BaseException | None) -> None:
        """Receive the result or the exception of the handler. It is a `OnDone` callback."""
        self.session.complete(self, result, error)
