"""Classes as generated code has them, with every type."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from idlrt import codegen as rpc


def optionals(name: str, /, **types: Any) -> Any:
    """A struct of optional fields, numbered from 1."""
    return msgspec.defstruct(
        name,
        [(attribute, Any, None) for attribute in types],
        bases=(rpc.Struct,),
        module=__name__,
        namespace={
            "__thrift_fields__": tuple(
                rpc.optional(id, attribute, type) for id, (attribute, type) in enumerate(types.items(), 1)
            )
        },
        kw_only=True,
    )


class Color(rpc.Enum):
    RED = 1
    BLUE = 2
    DARK = -3


class Empty(rpc.Struct, kw_only=True):
    pass


class Point(rpc.Struct, kw_only=True):
    x: int
    y: int | None = None

    __thrift_fields__ = (rpc.required(1, "x", rpc.I32), rpc.optional(2, "y", rpc.I32))


class Pick(rpc.Union, kw_only=True):
    number: int | None = None
    text: str | None = None
    point: Point | None = None

    __thrift_fields__ = (
        rpc.optional(1, "number", rpc.I64),
        rpc.optional(2, "text", rpc.STRING),
        rpc.optional(3, "point", rpc.struct(Point)),
    )


class Broke(rpc.DeclaredError):
    code: int
    why: str | None = None
    notes: list[str] = rpc.field(default_factory=lambda: ["none"])

    __thrift_fields__ = (
        rpc.required(1, "code", rpc.I32),
        rpc.optional(2, "why", rpc.STRING),
        rpc.optional(3, "notes", rpc.list_of(rpc.STRING)),
    )


class Tree(rpc.Struct, kw_only=True):
    value: int | None = None
    children: list[Tree] | None = None
    left: Tree | None = None

    __thrift_fields__ = (
        rpc.optional(1, "value", rpc.I32),
        rpc.optional(2, "children", rpc.list_of(rpc.struct(lambda: Tree))),
        rpc.optional(3, "left", rpc.struct(lambda: Tree)),
    )


class Scalars(rpc.Struct, kw_only=True):
    """Every scalar, required."""

    flag: bool
    tiny: int
    small: int
    middle: int
    large: int
    real: float
    text: str
    data: bytes
    uid: UUID
    color: Color

    __thrift_fields__ = (
        rpc.required(1, "flag", rpc.BOOL),
        rpc.required(2, "tiny", rpc.I8),
        rpc.required(3, "small", rpc.I16),
        rpc.required(4, "middle", rpc.I32),
        rpc.required(5, "large", rpc.I64),
        rpc.required(6, "real", rpc.DOUBLE),
        rpc.required(7, "text", rpc.STRING),
        rpc.required(8, "data", rpc.BINARY),
        rpc.required(9, "uid", rpc.UUID),
        rpc.required(10, "color", rpc.enum(Color)),
    )


class Optionals(rpc.Struct, kw_only=True):
    """Every scalar, optional; the attributes are not in the order of the ids, and one has another name."""

    color: Color | None = None
    uid: UUID | None = None
    data: bytes | None = None
    text: str | None = None
    real: float | None = None
    large: int | None = None
    middle: int | None = None
    small: int | None = None
    tiny: int | None = None
    from_: bool | None = None

    __thrift_fields__ = (
        rpc.optional(-5, "from", rpc.BOOL, attribute="from_"),
        rpc.optional(2, "tiny", rpc.I8),
        rpc.optional(300, "small", rpc.I16),
        rpc.optional(4, "middle", rpc.I32),
        rpc.optional(32767, "large", rpc.I64),
        rpc.optional(6, "real", rpc.DOUBLE),
        rpc.optional(7, "text", rpc.STRING),
        rpc.optional(8, "data", rpc.BINARY),
        rpc.optional(9, "uid", rpc.UUID),
        rpc.optional(-32768, "color", rpc.enum(Color)),
    )


# A list of every type.
Lists = optionals(
    "Lists",
    flags=rpc.list_of(rpc.BOOL),
    tinies=rpc.list_of(rpc.I8),
    smalls=rpc.list_of(rpc.I16),
    middles=rpc.list_of(rpc.I32),
    larges=rpc.list_of(rpc.I64),
    reals=rpc.list_of(rpc.DOUBLE),
    texts=rpc.list_of(rpc.STRING),
    blobs=rpc.list_of(rpc.BINARY),
    uids=rpc.list_of(rpc.UUID),
    colors=rpc.list_of(rpc.enum(Color)),
    points=rpc.list_of(rpc.struct(Point)),
    picks=rpc.list_of(rpc.struct(Pick)),
    lists=rpc.list_of(rpc.list_of(rpc.I32)),
    sets=rpc.list_of(rpc.set_of(rpc.STRING)),
    maps=rpc.list_of(rpc.map_of(rpc.STRING, rpc.I64)),
)

# Sets, of scalars and of frozen containers.
Sets = optionals(
    "Sets",
    flags=rpc.set_of(rpc.BOOL),
    larges=rpc.set_of(rpc.I64),
    reals=rpc.set_of(rpc.DOUBLE),
    texts=rpc.set_of(rpc.STRING),
    uids=rpc.set_of(rpc.UUID),
    colors=rpc.set_of(rpc.enum(Color)),
    points=rpc.set_of(rpc.struct(Point)),
    lists=rpc.set_of(rpc.frozen_list_of(rpc.I32)),
    sets=rpc.set_of(rpc.frozen_set_of(rpc.STRING)),
    maps=rpc.set_of(rpc.frozen_map_of(rpc.I32, rpc.frozen_list_of(rpc.BOOL))),
)

# Maps: every way in which keys and values are read.
Maps = optionals(
    "Maps",
    numbers=rpc.map_of(rpc.I32, rpc.DOUBLE),
    counts=rpc.map_of(rpc.STRING, rpc.I32),
    sizes=rpc.map_of(rpc.I16, rpc.I64),
    words=rpc.map_of(rpc.STRING, rpc.STRING),
    blobs=rpc.map_of(rpc.BINARY, rpc.I8),
    members=rpc.map_of(rpc.enum(Color), rpc.struct(Point)),
    by_flag=rpc.map_of(rpc.BOOL, rpc.BOOL),
    by_point=rpc.map_of(rpc.struct(Point), rpc.STRING),
    by_list=rpc.map_of(rpc.frozen_list_of(rpc.STRING), rpc.I32),
    by_set=rpc.map_of(rpc.frozen_set_of(rpc.I64), rpc.list_of(rpc.I32)),
    by_map=rpc.map_of(rpc.frozen_map_of(rpc.STRING, rpc.I32), rpc.set_of(rpc.I8)),
    deep=rpc.map_of(rpc.STRING, rpc.map_of(rpc.I64, rpc.list_of(rpc.struct(Pick)))),
    uids=rpc.map_of(rpc.UUID, rpc.enum(Color)),
)


class Defaults(rpc.Struct, kw_only=True):
    """Fields with defaults of their own."""

    size: int = 7
    name: str = "nobody"
    tags: list[str] = rpc.field(default_factory=lambda: ["a"])
    color: Color = Color.BLUE
    at: Point = rpc.field(default_factory=lambda: Point(x=1))
    flag: bool = True

    __thrift_fields__ = (
        rpc.optional(1, "size", rpc.I32),
        rpc.optional(2, "name", rpc.STRING),
        rpc.optional(3, "tags", rpc.list_of(rpc.STRING)),
        rpc.optional(4, "color", rpc.enum(Color)),
        rpc.optional(5, "at", rpc.struct(Point)),
        rpc.optional(6, "flag", rpc.BOOL),
    )


CLASSES = (Empty, Point, Pick, Broke, Tree, Scalars, Optionals, Lists, Sets, Maps, Defaults)


# Type numbers, as the binary protocol has them.

BOOL, I8, DOUBLE, I16, I32, I64, STRING, STRUCT, MAP, SET, LIST, UID = 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15, 16
