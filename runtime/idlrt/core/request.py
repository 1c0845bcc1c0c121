"""What a handler can learn about the call that it works on, beyond its arguments.

It travels in the context in which a handler runs, so it reaches whatever the handler calls or starts, plain
and `async` alike, without a parameter for it in every function. Calls that a handler makes itself get no more
time than is left for its own.
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
from idlrt.spec import Method

__all__ = ["Peer", "ServerCall", "current_call", "enter_call", "handler_context", "request_metadata"]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on the other side of a server's connection.

    Attributes:
        address: `host:port`, or `unix` for a client at a socket of this machine.
        is_encrypted: whether TLS lies between.
        names: by which the peer's certificate knows it (its common name, then alternative names, each once); empty
            if it has shown none.
    """

    address: str
    is_encrypted: bool = False
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.address} ({self.names[0]})" if self.names else self.address


class ServerCall(msgspec.Struct, eq=False):
    """A call on its way through a server's filters to its handler.

    What it has in common with a client's `Call` is called the same, so one filter may serve both sides.

    Attributes:
        method: what is called.
        arguments: one for each of the method's, in their order. A filter may replace them.
        peer: who calls.
        metadata: what the client sent with the call, as text by name; empty with framings that carry none.
        deadline: when the caller stops waiting, or, if it did not say, when the server stops caring.
        driver: the clock of the deadline, and what a filter sleeps with.
        context: typed values that travelled with the request: attempt, routing tag, caller.
        received_at: when its last byte arrived, on the clock of the deadline.
        is_answered: whether it is over. What a handler has started and left running may go on to make calls then.
        is_begun: whether its handler has been called. What is refused before that, nobody has worked on.
        outcome: how it ended, once it has been answered; `None` before.
        answer_metadata: what goes with the answer, as far as its framing can carry it. Filters and handlers add to it.
    """

    method: Method[..., Any]
    arguments: tuple[Any, ...]
    peer: Peer
    metadata: Metadata
    deadline: Deadline
    driver: Driver
    context: RequestContext = NO_CONTEXT
    received_at: float = 0.0
    answer_metadata: dict[str, str] = {}
    is_answered: bool = False
    is_begun: bool = False
    outcome: Outcome | None = None

    def remaining(self) -> float:
        """Seconds that are left until the deadline; zero or less when it is over."""
        return self.deadline.at - self.driver.now()


_current: Final[ContextVar[ServerCall | None]] = ContextVar("idlrt current call", default=None)


def current_call() -> ServerCall | None:
    """The call that is being handled: who made it, its metadata, its deadline. `None` outside of handlers.

    A handler sees its own call, whatever else is handled at the same time.
    """
    return _current.get()


def request_metadata() -> Metadata:
    """The metadata that came with the call that is being handled, as text by name.

    Empty outside of handlers, and when the client sent none or speaks a framing that carries none (`framed`
    and `unframed`; `header` does).
    """
    call = _current.get()
    return call.metadata if call is not None else NO_METADATA


def handler_context() -> Context:
    """A copy of the current context for handlers of another server: what is handled here is not theirs."""
    context = copy_context()
    if _current in context:
        context.run(_current.set, None)
    return context


enter_call: Final = _current.set
"""Lets what runs in the current context see a call."""
