"""What a handler can learn about the request that it works on, beyond its arguments.

It travels in the context in which a handler runs, so it reaches whatever the handler calls or starts, plain
and `async` alike, without a parameter for it in every function.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context
from typing import Final

from idlrt.wire.framing import NO_METADATA, Metadata

__all__ = ["enter_request", "handler_context", "request_metadata"]

_metadata: Final[ContextVar[Metadata]] = ContextVar("idlrt request metadata", default=NO_METADATA)


def request_metadata() -> Metadata:
    """The metadata that came with the call that is being handled, as text by name.

    Empty outside of handlers, and when the client sent none or speaks a framing that carries none (`framed`
    and `unframed`; `header` does). A handler sees its own call's, whatever else is handled at the same time.
    """
    return _metadata.get()


def handler_context() -> Context:
    """A copy of the current context for handlers of another server: what is handled here is not theirs."""
    context = copy_context()
    if _metadata in context:
        context.run(_metadata.set, NO_METADATA)
    return context


def enter_request(context: Context, metadata: Metadata) -> None:
    """Let what runs in `context` see `metadata`."""
    context.run(_metadata.set, metadata)
