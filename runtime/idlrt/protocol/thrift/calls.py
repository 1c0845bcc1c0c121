"""From the bytes of one client to its requests: cut the frames, open them, read the heads, find the methods.

There are two ways. `Calls` goes step by step and serves every dialect. Where the framing is nothing but a length and
the codecs are native ones (`Dialect.is_fused`), C does all of it in one go, and decodes the arguments too; the requests
are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from idlrt.core.metadata import NO_METADATA
from idlrt.errors import ApplicationError
from idlrt.protocol.events import NO_CONTEXT
from idlrt.protocol.thrift.framing import Dialect, SpoiledFrame
from idlrt.protocol.thrift.message import left_over, method_codec
from idlrt.protocol.thrift.requests import ThriftRequest, read_request
from idlrt.serialization._backend import native
from idlrt.serialization.base import RecordCodec
from idlrt.spec import Method

__all__ = ["CallReader", "Calls", "call_reader"]

Methods = Mapping[str, Method[..., Any]]


class CallReader(Protocol):
    """Reads the requests of one connection."""

    def receive(self, data: bytes, events: list[Any]) -> None:
        """Add the requests that `data` completes to `events`.

        Raises:
            RemoteProtocolError: nothing can be read any more; the requests before are in `events`.
        """
        ...

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an unfinished message has arrived."""
        ...


def call_reader(dialect: Dialect, methods: Methods) -> CallReader:
    """Return a reader of requests in `dialect`.

    Args:
        methods: what is served, by its name on the wire.
    """
    if not dialect.is_fused:
        return Calls(dialect, methods)

    def arguments_of(method: Method[..., Any]) -> RecordCodec:
        return method_codec(method, dialect.envelope).arguments

    empty = NO_METADATA, NO_CONTEXT
    read = partial(read_request, dialect, methods)
    reader: CallReader = native.FramedCalls(dialect, methods, arguments_of, ThriftRequest, left_over, read, empty)
    return reader


class Calls:
    """A `CallReader` for every dialect."""

    __slots__ = ("_methods", "_open", "_splitter")

    def __init__(self, dialect: Dialect, methods: Methods) -> None:
        self._methods = methods
        self._splitter = dialect.framing.splitter(dialect.envelope)
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

    def _read(self, frame: bytes) -> ThriftRequest:
        try:
            message, dialect, metadata, number = self._open(frame)
        except SpoiledFrame as error:
            refusal = ApplicationError(str(error), error.code)
            return ThriftRequest(
                error.sequence_id, "", None, False, error.dialect.framing.is_unordered, NO_METADATA, NO_CONTEXT,
                refusal, None, None, len(frame), dialect=error.dialect, message=b"", start=0,
            )  # fmt: skip
        return read_request(dialect, self._methods, message, metadata, number, len(frame))
