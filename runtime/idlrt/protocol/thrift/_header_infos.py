"""Reading and writing the parts of a THeader: varints and pairs of text.

Varints are those of the compact protocol: 7 bits a byte, the lowest first, a set top bit says that more
follow; here at most 32 bits. Nothing is read beyond the end of the header.

Source: https://github.com/apache/thrift/blob/master/doc/specs/HeaderFormat.md
"""

from __future__ import annotations

from typing import Final

from idlrt.core.metadata import Metadata
from idlrt.errors import ApplicationCode, LocalProtocolError
from idlrt.serialization.base import Limits
from idlrt.serialization.options import text_errors_of, write_errors_of

__all__ = ["MAX_HEADER", "HeaderReader", "Unreadable", "pack_pairs", "pack_varint"]

MAX_HEADER: Final = 0xFFFF * 4
"""Bytes that a header can have: its size is an `u16` of words of 4 bytes."""


class Unreadable(Exception):
    """Something within a frame cannot be read. Never leaves the framing.

    Attributes:
        code: what a refusal says.
    """

    def __init__(self, what: str, code: ApplicationCode = ApplicationCode.PROTOCOL_ERROR) -> None:
        super().__init__(what)
        self.code = code


class HeaderReader:
    """Reads `data` from `start` to `end`, step by step.

    Raises:
        Unreadable: `data` is shorter than `end`. The methods raise it where bytes are missing or wrong.
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if end > len(data):
            raise Unreadable(f"its header ends at offset {end}, the frame at {len(data)}")
        self._data = data
        self._at = start
        self._end = end

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at >= self._end

    def varint(self) -> int:
        """A number of up to 32 bits."""
        start = at = self._at
        value = shift = 0
        while at < self._end:
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value > 0xFFFFFFFF:
                    break
                self._at = at
                return value
            shift += 7
            if shift > 28:
                break
        else:
            raise Unreadable(f"its header ends within a number at offset {start}")
        raise Unreadable(f"the number at offset {start} of its header has more than 32 bits")

    def pairs(self, into: dict[str, str], limits: Limits) -> None:
        """Put pairs of text into a dictionary, which has no more than `max_container` then."""
        start = self._at
        count = self.varint()
        most = limits.max_container
        if len(into) + count > most:
            raise Unreadable(f"{count} pairs of metadata at offset {start} are over the limit max_container={most}")
        if count * 2 > self._end - self._at:
            left = self._end - self._at
            raise Unreadable(f"{count} pairs of metadata at offset {start} do not fit into {left} bytes of header")
        for _ in range(count):
            key = self._text(limits, "a key")
            into[key] = self._text(limits, f"the value of {key[:40]!r}")

    def _text(self, limits: Limits, what: str) -> str:
        at = self._at
        size = self.varint()
        if size > limits.max_string:
            raise Unreadable(
                f"{what} in its metadata has {size} bytes at offset {at}: the limit is max_string={limits.max_string}"
            )
        begin, end = self._at, self._at + size
        if end > self._end:
            raise Unreadable(
                f"{what} in its metadata needs {size} bytes at offset {begin}, {self._end - begin} are left"
            )
        self._at = end
        try:
            return self._data[begin:end].decode("utf-8", text_errors_of(limits))
        except UnicodeDecodeError as error:
            raise Unreadable(f"{what} in its metadata, at offset {begin}, is not utf-8: {error.reason}") from None


def pack_varint(value: int) -> bytes:
    """The bytes of a number that is 0 or more."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def pack_pairs(metadata: Metadata, limits: Limits) -> bytes:
    """The bytes of pairs of text.

    Raises:
        LocalProtocolError: one is no text, or over a limit.
    """
    if len(metadata) > limits.max_container:
        what = f"cannot send {len(metadata)} pairs of metadata"
        raise LocalProtocolError(f"{what}: the limit is max_container={limits.max_container}")
    parts = [pack_varint(len(metadata))]
    for key, value in metadata.items():
        parts += _pack_text(key, limits, "a key", key), _pack_text(value, limits, "the value", key)
    return b"".join(parts)


def _pack_text(text: object, limits: Limits, what: str, key: object) -> bytes:
    of = f"cannot send metadata: {what} of {key!r:.60}" if what == "the value" else f"cannot send metadata: {what}"
    if not isinstance(text, str):
        raise LocalProtocolError(f"{of} must be a str, not {type(text).__name__}")
    try:
        data = text.encode("utf-8", write_errors_of(limits))
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{of} cannot be written as utf-8: {error.reason}") from None
    if len(data) > limits.max_string:
        raise LocalProtocolError(f"{of} has {len(data)} bytes: the limit is max_string={limits.max_string}")
    return pack_varint(len(data)) + data
