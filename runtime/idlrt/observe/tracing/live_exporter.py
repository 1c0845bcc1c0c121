"""Interface of exporters that follow spans while they run, because their library measures and numbers them itself:
Pinpoint's agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from idlrt.core import ServerCall
from idlrt.observe.tracing.span import FinishedSpan, Span

__all__ = ["LiveExporter"]


@runtime_checkable
class LiveExporter(Protocol):
    """Follows the recorded spans of this process. Its functions do not raise, and are called on the thread of the call.

    `Span.companion` is its own.

    Attributes:
        name: its name in messages.
        format: format of the headers that it reads and writes: that they carry another trace is no conflict.
    """

    name: str
    format: str

    def start(self) -> None:
        """Prepare for spans of this process, which begins to serve; without waiting. Idempotent."""
        ...

    def begin_server(self, span: Span, call: ServerCall, *, is_trusted: bool) -> None:
        """Follow the span of a call that a server has received.

        Args:
            span: the span.
            call: the call.
            is_trusted: whether what the caller sent is used; otherwise its headers are ignored.
        """
        ...

    def begin(self, span: Span, parent: Span | None) -> None:
        """Follow a client span, or an internal one."""
        ...

    def enter(self, span: Span) -> None:
        """Make the span of a server call the current one of the library, in the current context."""
        ...

    def headers(self, span: Span, target: str) -> Mapping[str, str]:
        """Return the headers that carry an attempt to `target`, `host:port`."""
        ...

    def end(self, span: Span, finished: FinishedSpan) -> None:
        """End the span."""
        ...

    def flush(self, timeout: float) -> bool:
        """Send what waits. Return whether that was possible within `timeout` seconds."""
        ...

    def close(self, timeout: float) -> bool:
        """Send what waits, and stop. Return whether that was possible within `timeout` seconds. Idempotent."""
        ...
