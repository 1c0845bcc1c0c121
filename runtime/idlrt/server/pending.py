"""Calls in flight: requests whose responses come later, and their places among the responses of a connection."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from idlrt.core import ServerCall
from idlrt.protocol import RequestReceived
from idlrt.server.routes import Route

__all__ = ["PendingCall", "Place"]


class Place(msgspec.Struct, eq=False):
    """A place in the queue of responses.

    Attributes:
        response: `None` until there is one; empty if nothing is sent.
    """

    response: bytes | None


class _Completes(Protocol):
    def complete(self, pending: PendingCall, result: Any, error: BaseException | None) -> None:
        """Respond to a call whose handler has ended."""
        ...


class PendingCall(Place, eq=False):
    """A call whose handler runs elsewhere: one object for all that is needed to respond, because thousands may wait.

    Attributes:
        session: of its connection.
        request: what came.
        route: how it is done.
        call: what filters and handler see.
        decoded: bytes of memory that its arguments take until it is done.
    """

    session: _Completes
    request: RequestReceived
    route: Route
    call: ServerCall
    decoded: int

    def done(self, result: Any, error: BaseException | None) -> None:
        """See `Done`: the handler has ended."""
        self.session.complete(self, result, error)
