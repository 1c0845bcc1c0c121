"""From the bytes of one client to its calls: cut the frames, open them, read the heads, find the methods.

There are two ways. `Calls` goes step by step and serves every dialect. Where the framing is nothing but a
length and the codecs are native ones (`Dialect.is_fused`), C does all of it in one go, and reads the
arguments too; what a call looks like is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from idlrt.errors import ApplicationError
from idlrt.spec import Method
from idlrt.wire._backend import native
from idlrt.wire.dialect import Dialect
from idlrt.wire.events import CallReceived
from idlrt.wire.framing import NO_METADATA, SpoiledFrame
from idlrt.wire.message import left_over, method_codec
from idlrt.wire.protocol import RecordCodec
from idlrt.wire.types import MessageKind

__all__ = ["CallReader", "Calls", "call_reader"]

Methods = Mapping[str, Method[..., Any]]

_KINDS = {kind.value: kind for kind in MessageKind}


class CallReader(Protocol):
    """Reads the calls of one connection."""

    def receive(self, data: bytes, events: list[Any]) -> None:
        """Add the calls that `data` completes to `events`.

        Raises:
            RemoteProtocolError: nothing can be read any more; the calls before are in `events`.
        """
        ...

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an unfinished message has arrived."""
        ...


def call_reader(dialect: Dialect, methods: Methods) -> CallReader:
    """A reader of calls in `dialect`.

    Args:
        methods: what is served, by its name on the wire.
    """
    if not dialect.is_fused:
        return Calls(dialect, methods)
    protocol = dialect.protocol

    def arguments_of(method: Method[..., Any]) -> RecordCodec:
        return method_codec(method, protocol).arguments

    reader: CallReader = native.FramedCalls(dialect, methods, arguments_of, CallReceived, left_over, _KINDS)
    return reader


class Calls:
    """See the module. A `CallReader` for every dialect."""

    __slots__ = ("_methods", "_open", "_splitter")

    def __init__(self, dialect: Dialect, methods: Methods) -> None:
        self._methods = methods
        self._splitter = dialect.framing.splitter(dialect.protocol)
        self._open = dialect.framing.opener(dialect)

    def receive(self, data: bytes, events: list[Any]) -> None:
        """See `CallReader.receive`."""
        splitter = self._splitter
        splitter.add(data)
        while (frame := splitter.next()) is not None:
            events.append(self._read(frame))

    @property
    def is_empty(self) -> bool:
        """See `CallReader.is_empty`."""
        return self._splitter.is_empty

    def _read(self, frame: bytes) -> CallReceived:
        try:
            message, dialect, metadata, number = self._open(frame)
        except SpoiledFrame as error:
            fault = ApplicationError(str(error), error.code)
            return CallReceived(
                MessageKind.CALL, "", error.sequence_id, None, error.dialect, b"", 0, NO_METADATA, fault
            )
        head, start = dialect.protocol.unpack_head(message)
        method = self._methods.get(head.name)
        return CallReceived(
            head.kind, head.name, number or head.sequence_id, method, dialect, message, start, metadata,
            received=len(frame),
        )  # fmt: skip
