"""The call that a handler is processing: peer, metadata, deadline, outcome.

It is stored in a context variable, so it is visible in all functions, threads and tasks that the handler starts, plain
and `async` alike, without a parameter in each of them. Calls that a handler makes inherit its deadline.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

import msgspec

from idlrt.core.call import Deadline
from idlrt.core.context import NO_CONTEXT, RequestContext
from idlrt.core.driver import Driver
from idlrt.core.metadata import NO_METADATA, Metadata
from idlrt.core.outcome import Outcome
from idlrt.spec import Method, shown_values

__all__ = ["CURRENT_TRACE", "Peer", "ServerCall", "current_call", "enter_call", "handler_context", "request_metadata"]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """The client at the other end of a server's connection.

    Attributes:
        address: `host:port`, or `unix` for a client on a Unix socket.
        is_encrypted: whether the connection uses TLS.
        names: names in the peer's certificate (the common name, then alternative names, without duplicates); empty
            without a client certificate.
    """

    address: str
    is_encrypted: bool = False
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.address} ({self.names[0]})" if self.names else self.address


class ServerCall(msgspec.Struct, eq=False):
    """A call on its way through a server's filters to its handler.

    Attributes that it shares with a client's `Call` have the same names, so one filter can serve both sides.

    Attributes:
        method: the method that is called; filters may decide by its `annotations`, and by `service_annotations`.
        arguments: one value per argument of the method, in order. Filters may replace them.
        peer: the client.
        metadata: metadata that the client sent; empty with framings that carry none.
        deadline: point in time at which the caller stops waiting, or, if it sent no timeout, the server's own limit.
        driver: clock of the deadline; filters sleep through it.
        context: values that are propagated with the request: attempt, routing tag, caller.
        received_at: time when the last byte of the request arrived, on the clock of the deadline.
        handled_at: time when the handler returned; 0 if that is not measured.
        begun_at: time when a worker called the handler; 0 if it runs on another thread, or has not been called.
        is_answered: whether the response was sent. Background work that the handler started may still make calls.
        is_begun: whether the handler has been called. A call that is rejected before has not been executed.
        outcome: how the call ended; `None` until the response is sent.
        trace: trace of the call (`idlrt.observe.tracing`); `None` if tracing is off.
        answer_metadata: metadata of the response, dropped by framings that carry none. Filters and handlers may add to
            it.
    """

    method: Method[..., Any]
    arguments: tuple[Any, ...]
    peer: Peer
    metadata: Metadata
    deadline: Deadline
    driver: Driver
    context: RequestContext = NO_CONTEXT
    received_at: float = 0.0
    begun_at: float = 0.0
    handled_at: float = 0.0
    answer_metadata: dict[str, str] = {}
    is_answered: bool = False
    is_begun: bool = False
    outcome: Outcome | None = None
    trace: Any = None

    def __repr__(self) -> str:
        shown = shown_values(self.method.arguments, self.arguments)
        return f"ServerCall({self.method.full_name}{shown}, peer={self.peer!r}, metadata={sorted(self.metadata)})"

    def remaining(self) -> float:
        """Return the seconds until the deadline; zero or less if it has passed."""
        return self.deadline.at - self.driver.now()


CURRENT_TRACE: Final[ContextVar[Any]] = ContextVar("idlrt current trace", default=None)
"""Trace of a part of the program (`idlrt.observe.span`); `None` if that of the current call applies."""

_current: Final[ContextVar[ServerCall | None]] = ContextVar("idlrt current call", default=None)


def current_call() -> ServerCall | None:
    """Return the call that is being handled, with its peer, metadata and deadline; `None` outside of handlers.

    Concurrent handlers see their own calls.
    """
    return _current.get()


def request_metadata() -> Metadata:
    """Return the metadata of the call that is being handled.

    It is empty outside of handlers, and if the client sent none or uses a framing that carries none (`framed` and
    `unframed`; `header` does).
    """
    call = _current.get()
    return call.metadata if call is not None else NO_METADATA


def handler_context() -> Context:
    """Return a copy of the current context without the current call and trace, for handlers of another server."""
    context = copy_context()
    variables: tuple[ContextVar[Any], ...] = _current, CURRENT_TRACE
    for each in variables:
        if each in context:
            context.run(each.set, None)
    return context


enter_call: Final = _current.set
"""Set the current call of the current context."""
