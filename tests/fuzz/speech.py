"""A service that is called with everything, and who speaks about it in which dialects."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

import wire_types as t

from idlrt import spec as rpc
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.envelope import BinaryEnvelope, CompactEnvelope, Envelope, JsonEnvelope
from idlrt.protocol.thrift.framing import Dialect, Framed, Unframed
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization import BinarySerialization, CompactSerialization, JsonSerialization, Limits
from idlrt.spec import Method

# What stands in frames is small here, so that inputs reach the limits.
LIMITS = Limits(max_frame=4096, max_message=8192, max_string=1024, max_container=256, max_depth=16)
SMALL = Limits(max_frame=200, max_message=150, max_string=24, max_container=6, max_depth=4)

ECHO: Method[..., Any] = Method(
    "echo",
    rpc.required(1, "lists", rpc.struct(t.Lists)),
    rpc.optional(2, "maps", rpc.struct(t.Maps)),
    rpc.optional(3, "tree", rpc.struct(t.Tree)),
    rpc.optional(4, "pick", rpc.struct(t.Pick)),
    result=rpc.struct(t.Lists),
    throws=(rpc.optional(1, "broke", rpc.struct(t.Broke)),),
)
COUNT: Method[..., Any] = Method(
    "count",
    rpc.optional(1, "many", rpc.set_of(rpc.STRING)),
    rpc.optional(-2, "scalars", rpc.struct(t.Scalars)),
    rpc.optional(7, "size", rpc.I32),
    result=rpc.map_of(rpc.STRING, rpc.I64),
    defaults=(7,),
)
PING: Method[..., Any] = Method("ping", result=rpc.VOID)
POKE: Method[..., Any] = Method("poke", rpc.required(1, "at", rpc.struct(t.Point)), result=rpc.VOID, is_oneway=True)
SERVICE = rpc.service("Every", ECHO, COUNT, PING, POKE)

_SCALARS = t.Scalars(
    flag=True, tiny=-1, small=300, middle=70000, large=1 << 40, real=0.5, text="é", data=b"\0\xff", uid=UUID(int=5),
    color=t.Color.DARK,
)  # fmt: skip
_BASKET = t.Lists(texts=["ab", "c"], points=[t.Point(x=1)], maps=[{"k": 7}], sets=[{"x"}], flags=[True, False])

CALLS: list[tuple[Method[..., Any], tuple[Any, ...]]] = [
    (ECHO, (_BASKET, t.Maps(counts={"a": 1}, by_flag={True: False}), None, t.Pick(number=3))),
    (COUNT, ({"a", "b"}, _SCALARS, 3)),
    (PING, ()),
    (ECHO, (t.Lists(), None, t.Tree(value=1, children=[t.Tree()], left=t.Tree(value=-7)), None)),
    (POKE, (t.Point(x=1, y=2),)),
]


def answer(method: Method[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Return the result of a call.

    Raises:
        Broke: the exception that the IDL declares.
    """
    if method is ECHO:
        if arguments[2] is not None:
            raise t.Broke(code=len(arguments[2].children or ()), why="a tree")
        return arguments[0]
    if method is COUNT:
        return dict.fromkeys(sorted(arguments[0] or ()), arguments[2])
    return None


def dialects(*framings: str) -> list[Dialect]:
    """All that can be spoken in these framings, old binary too."""
    found = [dialect(framing, name, LIMITS) for framing in framings for name in ("binary", "compact", "json")]
    old = BinaryEnvelope(BinarySerialization(LIMITS), is_strict=False)
    return found + [Dialect(old, framing(LIMITS)) for framing in (Framed, Unframed) if framing.name in framings]


@cache
def _envelope(name: str, backend: Any, limits: Limits, is_strict: bool) -> Envelope:
    if name == "binary":
        return BinaryEnvelope(BinarySerialization(limits, backend=backend), is_strict=is_strict)
    if name == "compact":
        return CompactEnvelope(CompactSerialization(limits, backend=backend))
    return JsonEnvelope(JsonSerialization(limits, backend=backend))


def with_backend(how: Dialect, backend: str) -> Dialect:
    """The same dialect, read and written by this backend."""
    given = how.envelope
    # An old head begins with the length of a name.
    is_strict = given.pack_head(MessageType.CALL, "", 0)[:1] != b"\0"
    return Dialect(_envelope(given.name, backend, given.limits, is_strict), how.framing)
