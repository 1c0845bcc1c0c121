"""Reading and writing the parts of a THeader: varints and pairs of text.

Varints are those of the compact protocol: 7 bits a byte, the lowest first, a set top bit says that more
follow; here at most 32 bits. Nothing is read beyond the end of the header.

Source: https://github.com/apache/thrift/blob/master/doc/specs/HeaderFormat.md
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from idlrt.core.metadata import Metadata
from idlrt.errors import ApplicationCode, LocalProtocolError
from idlrt.serialization.base import Limits
from idlrt.serialization.options import WriteErrors, text_errors_of

__all__ = [
    "MAX_HEADER",
    "HeaderReader",
    "Unreadable",
    "accepts_short_pairs",
    "pack_pairs",
    "pack_varint",
    "short_pairs",
]

MAX_HEADER: Final = 0xFFFF * 4
"""Bytes that a header can have: its size is an `u16` of words of 4 bytes."""

# Below it a varint is one byte.
_SHORT: Final = 0x80
_VARINTS: Final = tuple(bytes((number,)) for number in range(_SHORT))


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


def accepts_short_pairs(limits: Limits) -> bool:
    """Whether no pairs that `short_pairs` reads are over a limit."""
    return limits.max_container >= _SHORT and limits.max_string >= _SHORT


def short_pairs(data: bytes, at: int, end: int, limits: Limits) -> dict[str, str] | None:
    """Return the pairs of an info at `at`, where it is the last one, and where all counts and sizes are one byte.

    `None` if they are not, or if something is wrong with them: then `HeaderReader` has to look.

    Args:
        end: the offset after the header, within `data`.
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
        # What follows is padding, or is skipped like it. Other pairs are not.
        return found if at >= end or not data[at] else None
    except (IndexError, UnicodeDecodeError):
        return None


def pack_pairs(metadata: Metadata, limits: Limits, text_errors: WriteErrors) -> bytes:
    """The bytes of pairs of text.

    Args:
        text_errors: what happens to lone surrogates.

    Raises:
        LocalProtocolError: one is no text, or over a limit.
    """
    if len(metadata) > limits.max_container:
        what = f"cannot send {len(metadata)} pairs of metadata"
        raise LocalProtocolError(f"{what}: the limit is max_container={limits.max_container}")
    parts = [pack_varint(len(metadata))]
    longest = min(limits.max_string, _SHORT - 1)
    pairs = cast("Iterable[tuple[object, object]]", metadata.items())
    for key, value in pairs:
        for text, what in ((key, "a key"), (value, "the value")):
            if isinstance(text, str) and len(text) <= longest and text.isascii():
                parts += _VARINTS[len(text)], text.encode()
            else:
                parts.append(_pack_text(text, limits, text_errors, what, key))
    return b"".join(parts)


def _pack_text(text: object, limits: Limits, text_errors: WriteErrors, what: str, key: object) -> bytes:
    of = f"cannot send metadata: {what} of {key!r:.60}" if what == "the value" else f"cannot send metadata: {what}"
    if not isinstance(text, str):
        raise LocalProtocolError(f"{of} must be a str, not {type(text).__name__}")
    try:
        data = text.encode("utf-8", text_errors)
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{of} cannot be written as utf-8: {error.reason}") from None
    if len(data) > limits.max_string:
        raise LocalProtocolError(f"{of} has {len(data)} bytes: the limit is max_string={limits.max_string}")
    return pack_varint(len(data)) + data
