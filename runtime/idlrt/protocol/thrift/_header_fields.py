"""Reading and writing the parts of a THeader: varints and key-value pairs.

Varints are those of the compact protocol: 7 bits per byte, the lowest first; the top bit is set if more bytes follow;
here at most 32 bits. Nothing is read beyond the end of the header.

Source: https://github.com/apache/thrift/blob/master/doc/specs/HeaderFormat.md
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from idlrt.core.metadata import Metadata
from idlrt.errors import ApplicationCode, LocalProtocolError
from idlrt.printable import plural
from idlrt.serialization.base import Limits
from idlrt.serialization.options import WriteErrors, text_errors_of

__all__ = [
    "MAX_HEADER",
    "BadHeader",
    "HeaderReader",
    "accepts_short_pairs",
    "pack_pairs",
    "pack_varint",
    "short_pairs",
]

MAX_HEADER: Final = 0xFFFF * 4
"""Maximum size of a header in bytes: its size field is a `u16` that counts words of 4 bytes."""

# Varints below this are one byte.
_SHORT: Final = 0x80
_VARINTS: Final = tuple(bytes((number,)) for number in range(_SHORT))


class BadHeader(Exception):
    """Part of a frame cannot be read. Internal to the framing.

    Attributes:
        code: code of the error response.
    """

    def __init__(self, what: str, code: ApplicationCode = ApplicationCode.PROTOCOL_ERROR) -> None:
        super().__init__(what)
        self.code = code


class HeaderReader:
    """Reader of a header, from the offset `start` of `data` to `end`.

    Raises:
        BadHeader: `data` is shorter than `end`. Methods raise it for missing or invalid bytes.
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if end > len(data):
            raise BadHeader(f"the header ends at offset {end}, but the frame at offset {len(data)}")
        self._data = data
        self._at = start
        self._end = end

    @property
    def is_at_end(self) -> bool:
        """Whether all bytes have been read."""
        return self._at >= self._end

    def varint(self) -> int:
        """Read a number of at most 32 bits."""
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
            raise BadHeader(f"the header ends within the varint at offset {start}")
        raise BadHeader(f"the varint at offset {start} of the header has more than 32 bits")

    def pairs(self, into: dict[str, str], limits: Limits) -> None:
        """Read key-value pairs into a dictionary, which may have at most `max_container` entries."""
        start = self._at
        count = self.varint()
        most = limits.max_container
        if len(into) + count > most:
            found = f"{plural(count, 'pair')} of metadata at offset {start}"
            raise BadHeader(f"{found}: the limit is max_container={most}")
        if count * 2 > self._end - self._at:
            left = plural(self._end - self._at, "byte")
            found = f"{plural(count, 'pair')} of metadata at offset {start}"
            raise BadHeader(f"unexpected end of header: {found}, have {left}")
        for _ in range(count):
            key = self._text(limits, "metadata key")
            into[key] = self._text(limits, f"metadata value of {key[:40]!r}")

    def _text(self, limits: Limits, what: str) -> str:
        at = self._at
        size = self.varint()
        if size > limits.max_string:
            found = f"{what} at offset {at} has {plural(size, 'byte')}"
            raise BadHeader(f"{found}: the limit is max_string={limits.max_string}")
        begin, end = self._at, self._at + size
        if end > self._end:
            found = f"{what} at offset {begin} needs {plural(size, 'byte')}"
            raise BadHeader(f"unexpected end of header: {found}, have {self._end - begin}")
        self._at = end
        try:
            return self._data[begin:end].decode("utf-8", text_errors_of(limits))
        except UnicodeDecodeError as error:
            raise BadHeader(f"{what} at offset {begin} is not valid UTF-8: {error.reason}") from None


def pack_varint(value: int) -> bytes:
    """Return the bytes of a non-negative number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def accepts_short_pairs(limits: Limits) -> bool:
    """Whether pairs that `short_pairs` reads can never exceed a limit."""
    return limits.max_container >= _SHORT and limits.max_string >= _SHORT


def short_pairs(data: bytes, at: int, end: int, limits: Limits) -> dict[str, str] | None:
    """Return the pairs of an info of the common form: the last one of the header, with counts and sizes of one byte.

    `None` for other forms and invalid pairs, which `HeaderReader` handles.

    Args:
        data: the frame.
        at: offset of the info.
        end: offset after the header, within `data`.
        limits: limits of metadata.
    """
    found: dict[str, str] = {}
    errors = text_errors_of(limits)
    try:
        count = data[at]
        at += 1
        if count >= _SHORT:
            return None
        for _ in range(count):
            middle = at + 1 + data[at]
            size = data[middle]
            after = middle + 1 + size
            if middle - at > _SHORT or size >= _SHORT or after > end:
                return None
            found[data[at + 1 : middle].decode("utf-8", errors)] = data[middle + 1 : after].decode("utf-8", errors)
            at = after
        # Padding may follow, but no other pairs.
        return found if at >= end or not data[at] else None
    except (IndexError, UnicodeDecodeError):
        return None


def pack_pairs(metadata: Metadata, limits: Limits, text_errors: WriteErrors) -> bytes:
    """Return the bytes of key-value pairs.

    Args:
        metadata: the pairs.
        limits: limits of metadata.
        text_errors: handling of lone surrogates.

    Raises:
        LocalProtocolError: a key or value is not a string, or exceeds a limit.
    """
    if len(metadata) > limits.max_container:
        what = f"cannot send {plural(len(metadata), 'pair')} of metadata"
        raise LocalProtocolError(f"{what}: the limit is max_container={limits.max_container}")
    parts = [pack_varint(len(metadata))]
    longest = min(limits.max_string, _SHORT - 1)
    pairs = cast("Iterable[tuple[object, object]]", metadata.items())
    for key, value in pairs:
        for text, what in ((key, "key"), (value, "value")):
            if isinstance(text, str) and len(text) <= longest and text.isascii():
                parts += _VARINTS[len(text)], text.encode()
            else:
                parts.append(_pack_text(text, limits, text_errors, what, key))
    return b"".join(parts)


def _pack_text(text: object, limits: Limits, text_errors: WriteErrors, what: str, key: object) -> bytes:
    of = f"cannot send metadata: {what} of {key!r:.60}" if what == "value" else f"cannot send metadata: {what}"
    if not isinstance(text, str):
        raise LocalProtocolError(f"{of} must be a str, got {type(text).__name__}")
    try:
        data = text.encode("utf-8", text_errors)
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{of} cannot be encoded as UTF-8: {error.reason}") from None
    if len(data) > limits.max_string:
        found = f"{of} has {plural(len(data), 'byte')}"
        raise LocalProtocolError(f"{found}: the limit is max_string={limits.max_string}")
    return pack_varint(len(data)) + data
