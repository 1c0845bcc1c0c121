"""Classes as generated code has them, for tests of JSON."""

from __future__ import annotations

from uuid import UUID

from idlrt import codegen as rpc


class Color(rpc.Enum):
    RED = 1
    GREEN = 2
    VERDE = 2
    None_ = 0
    name_ = 4


class Point(rpc.Struct, kw_only=True):
    x: int
    y: int | None = None

    __thrift_fields__ = (rpc.required(1, "x", rpc.I32), rpc.optional(2, "y", rpc.I32))


class User(rpc.Struct, kw_only=True):
    """Fields whose table is not in the order of the IDL, one with another name in Python, some with defaults."""

    name: str
    from_: str | None = rpc.field(default=None, name="from")
    tags: list[str] = rpc.field(default_factory=lambda: ["new"])
    size: int | None = 7
    at: Point | None = None
    friend: User | None = None

    __thrift_fields__ = (
        rpc.optional(1, "from", rpc.STRING, attribute="from_"),
        rpc.required(2, "name", rpc.STRING),
        rpc.required(3, "tags", rpc.list_of(rpc.STRING)),
        rpc.optional(4, "size", rpc.I64),
        rpc.optional(5, "at", rpc.struct(Point)),
        rpc.optional(6, "friend", rpc.struct(lambda: User)),
    )


class Frozen(rpc.FrozenStruct, kw_only=True, frozen=True):
    id: UUID

    __thrift_fields__ = (rpc.required(1, "id", rpc.UUID),)


class Pick(rpc.Union, kw_only=True):
    number: int | None = None
    from_: str | None = rpc.field(default=None, name="from")
    point: Point | None = None

    __thrift_fields__ = (
        rpc.optional(1, "number", rpc.I64),
        rpc.optional(2, "from", rpc.STRING, attribute="from_"),
        rpc.optional(3, "point", rpc.struct(Point)),
    )


class Broke(rpc.DeclaredError):
    code: int
    why: str | None = None
    notes: list[str] = rpc.field(default_factory=lambda: ["none"])

    __thrift_fields__ = (
        rpc.optional(1, "why", rpc.STRING),
        rpc.required(2, "code", rpc.I32),
        rpc.optional(3, "notes", rpc.list_of(rpc.STRING)),
    )
