"""Request readers: split the bytes of a client into frames, decode frames and message headers, look up the methods.

Three implementations give the same results. `PlainRequestReader` goes step by step and supports every dialect.
`HeaderRequestReader` takes a shortcut for requests whose THeader equals that of the previous one. With native codecs, C
code reads plain frames (`Dialect.is_fused`), and frames with an unchanged THeader, in one step, and decodes the
arguments too.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

from idlrt.core.metadata import NO_METADATA
from idlrt.errors import ApplicationError
from idlrt.protocol.events import NO_CONTEXT, RequestContext
from idlrt.protocol.thrift.framing import BadFrame, Dialect
from idlrt.protocol.thrift.header_framing import FIXED, HeaderFramed, is_header
from idlrt.protocol.thrift.message import method_codec, trailing_bytes
from idlrt.protocol.thrift.requests import ThriftRequest, read_request
from idlrt.protocol.thrift.typed_metadata import context_from
from idlrt.serialization._backend import native
from idlrt.serialization.base import RecordCodec
from idlrt.spec import Method

__all__ = ["HeaderRequestReader", "PlainRequestReader", "RequestReader", "request_reader"]

_SMALLEST: Final = 4 + FIXED
_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_i32 = struct.Struct(">i").unpack_from
_EMPTY: Final = NO_METADATA, NO_CONTEXT

Methods = Mapping[str, Method[..., Any]]


class RequestReader(Protocol):
    """Interface of request readers, one for each connection."""

    def receive(self, data: bytes, events: list[Any]) -> None:
        """Add the requests that `data` completes to `events`.

        Raises:
            RemoteProtocolError: the connection cannot be read any further; earlier requests are in `events`.
        """
        ...

    @property
    def is_empty(self) -> bool:
        """Whether no part of an unfinished message has arrived."""
        ...


def request_reader(dialect: Dialect, methods: Methods) -> RequestReader:
    """Return a reader of requests in `dialect`.

    Args:
        dialect: dialect of the client.
        methods: methods of the server, by name on the wire.
    """
    reader: RequestReader
    framing = dialect.framing
    if is_header(framing):
        reader = steps = HeaderRequestReader(dialect, methods, framing)
        if dialect.is_native:
            reader = native.HeaderRequestReader(
                dialect, methods, _arguments_of, ThriftRequest, trailing_bytes, steps.read_frame, _EMPTY,
                steps.frame_decoder, framing.limits, context_from, RequestContext,
            )  # fmt: skip
    elif dialect.is_fused:
        read = partial(read_request, dialect, methods)
        reader = native.FramedRequestReader(
            dialect, methods, _arguments_of, ThriftRequest, trailing_bytes, read, _EMPTY
        )
    else:
        reader = PlainRequestReader(dialect, methods)
    return reader


def _arguments_of(method: Method[..., Any], dialect: Dialect) -> RecordCodec:
    return method_codec(method, dialect.envelope).arguments


class PlainRequestReader:
    """A `RequestReader` for every dialect."""

    __slots__ = ("_frame_buffer", "_methods", "_open")

    def __init__(self, dialect: Dialect, methods: Methods) -> None:
        self._methods = methods
        self._frame_buffer = dialect.framing.frame_buffer(dialect.envelope)
        self._open = dialect.framing.frame_decoder(dialect)

    def receive(self, data: bytes, events: list[Any]) -> None:
        frame_buffer = self._frame_buffer
        frame_buffer.add(data)
        while (frame := frame_buffer.next()) is not None:
            events.append(self.read_frame(frame))

    @property
    def is_empty(self) -> bool:
        return self._frame_buffer.is_empty

    def read_frame(self, frame: bytes) -> ThriftRequest:
        """Return the request in a frame.

        Raises:
            RemoteProtocolError: the connection cannot be read any further.
        """
        try:
            message, dialect, metadata, number = self._open(frame)
        except BadFrame as error:
            refusal = ApplicationError(str(error), error.code)
            return ThriftRequest(
                error.sequence_id, "", None, False, error.dialect.framing.is_unordered, NO_METADATA, NO_CONTEXT,
                refusal, None, None, len(frame), dialect=error.dialect, message=b"", start=0,
            )  # fmt: skip
        return read_request(dialect, self._methods, message, metadata, number, len(frame))


class HeaderRequestReader(PlainRequestReader):
    """A `RequestReader` for THeader. Complete frames are read without copying; partial ones as in `PlainRequestReader`.

    Attributes:
        frame_decoder: decoder of the frames.
    """

    __slots__ = ("_context", "_limits", "_metadata", "_rest", "frame_decoder")

    def __init__(self, dialect: Dialect, methods: Methods, framing: HeaderFramed) -> None:
        super().__init__(dialect, methods)
        self._limits: Final = framing.limits
        self.frame_decoder: Final = framing.header_frame_decoder()
        self._open = self.frame_decoder.open
        # Metadata of the last header, and its typed values and rest.
        self._metadata = self._rest = NO_METADATA
        self._context = NO_CONTEXT

    def receive(self, data: bytes, events: list[Any]) -> None:
        if self._frame_buffer.is_empty:
            at = self._read_whole(data, events)
            if at == len(data):
                return
            data = data[at:]
        super().receive(data, events)

    def _read_whole(self, data: bytes, events: list[Any]) -> int:
        """Read the complete frames at the beginning of `data`. Returns the offset after them."""
        frame_decoder, limits = self.frame_decoder, self._limits
        at, size = 0, len(data)
        while size - at >= _SMALLEST:
            (length,) = _unpack_u32(data, at)
            begin = at + 4
            at = begin + length
            if at > size or length > limits.max_frame:
                return begin - 4  # incomplete, or rejected by the frame_buffer
            start = begin + 8 + len(frame_decoder.header)
            if (
                frame_decoder.is_plain
                and data.startswith(frame_decoder.mark, begin)
                and data.startswith(frame_decoder.header, begin + 8)
                and start <= at
                and at - start <= limits.max_message
            ):
                if frame_decoder.metadata is not self._metadata:
                    self._context, self._rest = context_from(frame_decoder.metadata)
                    self._metadata = frame_decoder.metadata
                (number,) = _unpack_i32(data, begin + 4)
                events.append(
                    read_request(
                        frame_decoder.dialect, self._methods, data[start:at], self._rest, number, length, self._context
                    )
                )
            else:
                events.append(self.read_frame(data[begin:at]))
        return at
