"""Multipart forms, as browsers send files, by the package `python-multipart`.

Source: RFC 7578
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Final

from idlrt.errors import ConfigurationError, RemoteProtocolError

try:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header
except ImportError:
    raise ConfigurationError("forms over HTTP need the package python-multipart: pip install 'idlc[http]'") from None

__all__ = ["parse_multipart"]

_MAX_PARTS: Final = 1000
# Bytes of the headers of one part.
_MAX_HEAD: Final = 4096
_MAX_BOUNDARY: Final = 70
# The package logs a warning for each malformed form.
_SILENT: Final = logging.Logger("idlrt.protocol.http.multipart", logging.CRITICAL + 1)
_DISPOSITION: Final = b"content-disposition"


class _Form:
    """Receives the callbacks of the parser.

    Args:
        binary: names of fields with bytes.

    Attributes:
        values: values by name.
        is_complete: whether the last boundary has been found.
    """

    def __init__(self, binary: Collection[str]) -> None:
        self._binary = binary
        self.values: dict[str, list[str]] = {}
        self.is_complete = False
        self._parts = 0
        self._begin()

    def _begin(self) -> None:
        self._name: str | None = None
        self._head = 0
        self._header = self._value = b""
        self._data: list[bytes] = []

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise RemoteProtocolError(f"cannot read the form: it must have at most {_MAX_PARTS} parts")
        self._begin()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > _MAX_HEAD:
            raise RemoteProtocolError(f"cannot read the form: the head of a part must have at most {_MAX_HEAD} bytes")

    def on_header_end(self) -> None:
        if self._header.lower() == _DISPOSITION:
            kind, parameters = parse_options_header(self._value)
            name = parameters.get(b"name")
            if kind != b"form-data" or name is None or self._name is not None:
                raise RemoteProtocolError("cannot read the form: a part has no name, or several")
            self._name = _text(name, "names")
        self._header = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def on_part_end(self) -> None:
        if self._name is None:
            raise RemoteProtocolError("cannot read the form: a part has no name, or several")
        data = b"".join(self._data)
        self.values.setdefault(self._name, []).append(
            _base64(data) if self._name in self._binary else _text(data, "values")
        )

    def on_end(self) -> None:
        self.is_complete = True


def parse_multipart(body: bytes, content_type: bytes, binary: Collection[str] = ()) -> Mapping[str, list[str]]:
    """Return the fields of a form by name, files included.

    Args:
        body: the body.
        content_type: its content type, with the boundary.
        binary: names of fields with bytes, which are returned as base64; others must be UTF-8.

    Raises:
        RemoteProtocolError: it is malformed, exceeds a limit, or a value is not valid UTF-8.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 1 <= len(boundary) <= _MAX_BOUNDARY:
        raise RemoteProtocolError("cannot read the form: the content type has no valid boundary")
    form = _Form(binary)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": form.on_part_begin,
            "on_header_field": form.on_header_field,
            "on_header_value": form.on_header_value,
            "on_header_end": form.on_header_end,
            "on_part_data": form.on_part_data,
            "on_part_end": form.on_part_end,
            "on_end": form.on_end,
        },
    )
    parser.logger = _SILENT
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise RemoteProtocolError("cannot read the form: malformed multipart body") from None
    if not form.is_complete:
        raise RemoteProtocolError("cannot read the form: malformed multipart body")
    return form.values


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError(f"cannot read the form: {what} must be UTF-8") from None


def _base64(data: bytes) -> str:
    import binascii

    return binascii.b2a_base64(data, newline=False).decode()
