"""Bytes of each protocol put together by hand: what no writer here would write, too.

A builder makes values, fields of values, and structs of fields. Lengths can be told to lie with `count`.
"""

from __future__ import annotations

import base64
import struct
from typing import Any
from uuid import UUID

from wire_types import BOOL, DOUBLE, I8, I16, I32, I64, LIST, MAP, SET, STRING, STRUCT, UID


class BinaryBytes:
    """Thrift's binary protocol."""

    lengths = (2**31 - 1, 2**32 - 1, 2**24)

    def struct(self, *fields: bytes) -> bytes:
        return b"".join(fields) + b"\0"

    def field(self, kind: int, id: int, value: bytes) -> bytes:
        return struct.pack(">Bh", kind, id) + value

    def bool(self, value: bool) -> bytes:
        return bytes([value])

    def i8(self, value: int) -> bytes:
        return struct.pack(">b", value)

    def i16(self, value: int) -> bytes:
        return struct.pack(">h", value)

    def i32(self, value: int) -> bytes:
        return struct.pack(">i", value)

    def i64(self, value: int) -> bytes:
        return struct.pack(">q", value)

    def double(self, value: float) -> bytes:
        return struct.pack(">d", value)

    def text(self, value: str | bytes, count: int | None = None) -> bytes:
        data = value.encode() if isinstance(value, str) else value
        return struct.pack(">I", len(data) if count is None else count) + data

    binary = text

    def uuid(self, value: UUID) -> bytes:
        return value.bytes

    def sequence(self, kind: int, *items: bytes, count: int | None = None) -> bytes:
        return struct.pack(">BI", kind, len(items) if count is None else count) + b"".join(items)

    def mapping(self, key: int, value: int, *items: bytes, count: int | None = None) -> bytes:
        return struct.pack(">BBI", key, value, len(items) // 2 if count is None else count) + b"".join(items)


class CompactBytes:
    """Thrift's compact protocol, with the long heads of fields: each says its id."""

    lengths = (2**31 - 1, 2**24)
    codes = dict(
        zip((BOOL, I8, I16, I32, I64, DOUBLE, STRING, LIST, SET, MAP, STRUCT, UID), range(1, 14), strict=False)
    )
    codes |= {I8: 3, I16: 4, I32: 5, I64: 6, DOUBLE: 7, STRING: 8, LIST: 9, SET: 10, MAP: 11, STRUCT: 12, UID: 13}

    def varint(self, value: int) -> bytes:
        data = b""
        while value > 127:
            data += bytes([value % 128 + 128])
            value //= 128
        return data + bytes([value])

    def zigzag(self, value: int) -> bytes:
        return self.varint(2 * value if value >= 0 else -2 * value - 1)

    def struct(self, *fields: bytes) -> bytes:
        return b"".join(fields) + b"\0"

    def field(self, kind: int, id: int, value: bytes) -> bytes:
        if kind == BOOL:  # the value goes into the head
            return value + self.zigzag(id)
        return bytes([self.codes[kind]]) + self.zigzag(id) + value

    def bool(self, value: bool) -> bytes:
        return b"\1" if value else b"\2"

    def i8(self, value: int) -> bytes:
        return struct.pack("b", value)

    i16 = i32 = i64 = zigzag

    def double(self, value: float) -> bytes:
        return struct.pack("<d", value)

    def text(self, value: str | bytes, count: int | None = None) -> bytes:
        data = value.encode() if isinstance(value, str) else value
        return self.varint(len(data) if count is None else count) + data

    binary = text

    def uuid(self, value: UUID) -> bytes:
        return value.bytes

    def sequence(self, kind: int, *items: bytes, count: int | None = None) -> bytes:
        length = len(items) if count is None else count
        code = self.codes.get(kind, 0)
        head = bytes([length << 4 | code]) if length < 15 else bytes([0xF0 | code]) + self.varint(length)
        return head + b"".join(items)

    def mapping(self, key: int, value: int, *items: bytes, count: int | None = None) -> bytes:
        length = len(items) // 2 if count is None else count
        types = bytes([self.codes[key] << 4 | self.codes[value]]) if length else b""
        return self.varint(length) + types + b"".join(items)


class JsonBytes:
    """Thrift's JSON."""

    lengths = (2**31 - 1, 2**24)
    names = dict(
        zip(
            (BOOL, I8, I16, I32, I64, DOUBLE, STRING, STRUCT, LIST, SET, MAP, UID),
            (b"tf", b"i8", b"i16", b"i32", b"i64", b"dbl", b"str", b"rec", b"lst", b"set", b"map", b"uid"),
            strict=True,
        )
    )

    def struct(self, *fields: bytes) -> bytes:
        return b"{" + b",".join(fields) + b"}"

    def field(self, kind: int, id: int, value: bytes) -> bytes:
        return b'"%d":{"%b":%b}' % (id, self.names[kind], value)

    def bool(self, value: bool) -> bytes:
        return b"1" if value else b"0"

    def i64(self, value: int) -> bytes:
        return b"%d" % value

    i8 = i16 = i32 = i64

    def double(self, value: float) -> bytes:
        return b"%.17g" % value

    def text(self, value: str | bytes) -> bytes:
        return b'"' + (value.encode() if isinstance(value, str) else value) + b'"'

    def binary(self, value: bytes) -> bytes:
        return b'"' + base64.b64encode(value) + b'"'

    def uuid(self, value: UUID) -> bytes:
        return self.text(str(value))

    def sequence(self, kind: int, *items: bytes, count: int | None = None) -> bytes:
        length = len(items) if count is None else count
        return b'["%b",%d%b]' % (self.names.get(kind, b"i8"), length, b"".join(b"," + item for item in items))

    def mapping(self, key: int, value: int, *items: bytes, count: int | None = None) -> bytes:
        keys = [b'"%b"' % each if each[:1] in b"-0123456789" else each for each in items[::2]]
        pairs = b",".join(left + b":" + right for left, right in zip(keys, items[1::2], strict=True))
        length = len(items) // 2 if count is None else count
        return b'["%b","%b",%d,{%b}]' % (self.names.get(key, b"i8"), self.names.get(value, b"i8"), length, pairs)


BUILDERS: dict[str, Any] = {"binary": BinaryBytes(), "compact": CompactBytes(), "json": JsonBytes()}


def unknown_values(b: Any) -> dict[str, tuple[int, bytes]]:
    """A value of every type that no reader here knows: name → type, bytes."""
    inner = b.struct(b.field(I32, 1, b.i32(5)), b.field(STRING, 2, b.text("in")))
    return {
        "bool": (BOOL, b.bool(True)),
        "i8": (I8, b.i8(0x7F)),
        "double": (DOUBLE, b.double(1.5)),
        "i16": (I16, b.i16(-2)),
        "i32": (I32, b.i32(-1)),
        "i64": (I64, b.i64(1 << 40)),
        "string": (STRING, b.text("what")),
        "empty string": (STRING, b.text("")),
        "uuid": (UID, b.uuid(UUID(bytes=bytes(range(16))))),
        "struct": (STRUCT, inner),
        "empty struct": (STRUCT, b.struct()),
        "struct of a bool": (STRUCT, b.struct(b.field(BOOL, 3, b.bool(False)), b.field(I8, 4, b.i8(1)))),
        "list of i32": (LIST, b.sequence(I32, b.i32(1), b.i32(2))),
        "list of strings": (LIST, b.sequence(STRING, b.text("a"), b.text("bc"), b.text(""))),
        "list of bools": (LIST, b.sequence(BOOL, b.bool(True), b.bool(False))),
        "empty list": (LIST, b.sequence(0)),
        "long list": (LIST, b.sequence(I16, *[b.i16(300)] * 20)),
        "list of structs": (LIST, b.sequence(STRUCT, b.struct(), b.struct(b.field(I64, 9, b.i64(3))))),
        "set of uuids": (SET, b.sequence(UID, b.uuid(UUID(int=0)), b.uuid(UUID(int=1)))),
        "set of lists": (
            SET,
            b.sequence(LIST, b.sequence(BOOL, b.bool(True)), b.sequence(STRING, b.text("x")), b.sequence(0)),
        ),
        "map": (MAP, b.mapping(STRING, I32, b.text("k"), b.i32(1), b.text("l"), b.i32(2))),
        "map of scalars": (MAP, b.mapping(I8, DOUBLE, b.i8(1), b.double(0.0))),
        "empty map": (MAP, b.mapping(I8, I8)),
        "map of everything": (
            MAP,
            b.mapping(
                STRUCT,
                MAP,
                b.struct(b.field(LIST, 1, b.sequence(SET, b.sequence(STRING, b.text("q"))))),
                b.mapping(LIST, STRUCT, b.sequence(I16, b.i16(1)), b.struct(b.field(UID, 2, b.uuid(UUID(int=0))))),
            ),
        ),
    }


UNKNOWN: dict[str, dict[str, tuple[int, bytes]]] = {name: unknown_values(each) for name, each in BUILDERS.items()}
