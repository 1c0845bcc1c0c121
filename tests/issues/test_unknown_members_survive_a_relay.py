"""A program that passes values on loses nothing that only newer peers know: members of unions, and fields of structs
where it says `unknown="keep"`.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from kinds import Kind, serving
from protocols import HOWS, How
from wire_types import BOOL, I32, I64, LIST, STRING

import idlrt
import idlrt.codegen as rpc
from idlrt import ConfigurationError, LocalProtocolError, Server
from idlrt.client import AsyncClient, Client
from idlrt.core import bind
from idlrt.serialization import Limits
from idlrt.serialization.options import with_options
from idlrt.spec import unknown_of

each_protocol = pytest.mark.parametrize("how", HOWS, ids=repr)
KINDS_OF_VALUES = sorted(HOWS[0].unknown)


class Wallet(rpc.Struct, kw_only=True):
    coins: dict[str, int]
    is_open: bool

    __thrift_fields__ = (
        rpc.required(1, "coins", rpc.map_of(rpc.STRING, rpc.I64)),
        rpc.required(2, "is_open", rpc.BOOL),
    )


class Payment(rpc.Union):
    """Union as the relay knows it."""

    card: str | None = None
    cash: int | None = None

    __thrift_fields__ = (rpc.optional(1, "card", rpc.STRING), rpc.optional(5, "cash", rpc.I64))


class Nothing(rpc.Union):
    """Of a version of the IDL that has no member yet."""

    __thrift_fields__ = ()


class NewPayment(rpc.Union):
    card: str | None = None
    wallet: Wallet | None = None
    cash: int | None = None
    free: bool | None = None

    __thrift_fields__ = (
        rpc.optional(1, "card", rpc.STRING),
        rpc.optional(3, "wallet", rpc.struct(Wallet)),
        rpc.optional(5, "cash", rpc.I64),
        rpc.optional(900, "free", rpc.BOOL),
    )


class Order(rpc.Struct, kw_only=True):
    """Likewise."""

    id: int
    payment: Payment | None = None
    others: list[Payment] | None = None

    __thrift_fields__ = (
        rpc.required(2, "id", rpc.I64),
        rpc.optional(4, "payment", rpc.struct(Payment)),
        rpc.optional(5, "others", rpc.list_of(rpc.struct(Payment))),
    )


class NewOrder(rpc.Struct, kw_only=True):
    urgent: bool | None = None
    id: int
    note: str | None = None
    payment: NewPayment | None = None
    others: list[NewPayment] | None = None
    wallet: Wallet | None = None

    __thrift_fields__ = (
        rpc.optional(-7, "urgent", rpc.BOOL),
        rpc.required(2, "id", rpc.I64),
        rpc.optional(3, "note", rpc.STRING),
        rpc.optional(4, "payment", rpc.struct(NewPayment)),
        rpc.optional(5, "others", rpc.list_of(rpc.struct(NewPayment))),
        rpc.optional(6, "wallet", rpc.struct(Wallet)),
    )


class Refused(rpc.DeclaredError):
    why: str

    __thrift_fields__ = (rpc.required(1, "why", rpc.STRING),)


class NewRefused(rpc.DeclaredError):
    why: str
    retry_after: int | None = None

    __thrift_fields__ = (rpc.required(1, "why", rpc.STRING), rpc.optional(2, "retry_after", rpc.I32))


WALLET = Wallet(coins={"a": 1, "b": -(1 << 40)}, is_open=True)
NEW = NewOrder(
    urgent=True,
    id=7,
    note="ä note",
    payment=NewPayment(wallet=WALLET),
    others=[NewPayment(cash=1), NewPayment(free=False), NewPayment(free=True), NewPayment(card="c")],
    wallet=WALLET,
)
# The same, as a relay passes it on that keeps what unions do not know, and nothing else.
NEW_BUT_FOR_FIELDS = msgspec.structs.replace(NEW, urgent=None, note=None, wallet=None)


def codec(how: How, cls: Any, unknown: str = "drop") -> Any:
    return type(how())(with_options(Limits(), unknown=unknown), backend=how.backend).struct(cls)


# Unions.


@each_protocol
@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_a_union_keeps_a_member_of_every_type(how: How, name: str) -> None:
    kind, value = how.unknown[name]
    data = how.bytes.struct(how.bytes.field(kind, 77, value))
    union = codec(how, Payment).decode_whole(data)
    assert repr(union) == "Payment(<unknown field 77>)"
    assert idlrt.which(union) is None
    written = codec(how, Payment).encode(union)
    assert written == data
    # Both backends keep the same.
    assert {unknown_of(codec(each, Payment).decode_whole(data)) for each in HOWS if each.name == how.name} == {
        unknown_of(union)
    }


@each_protocol
def test_a_union_without_fields_keeps_what_newer_peers_set(how: How) -> None:
    union = codec(how, Nothing).decode_whole(codec(how, NewPayment).encode(NewPayment(free=True)))
    assert codec(how, NewPayment).decode_whole(codec(how, Nothing).encode(union)) == NewPayment(free=True)


@each_protocol
def test_unions_in_structs_and_lists_come_through(how: How) -> None:
    relayed = codec(how, Order).encode(codec(how, Order).decode_whole(codec(how, NewOrder).encode(NEW)))
    assert codec(how, NewOrder).decode_whole(relayed) == NEW_BUT_FOR_FIELDS


@each_protocol
def test_a_known_member_counts_more_than_what_was_kept(how: How) -> None:
    union = codec(how, Payment).decode_whole(codec(how, NewPayment).encode(NewPayment(free=True)))
    union.cash = 5
    assert repr(union) == "Payment(card=None, cash=5)"
    assert codec(how, NewPayment).decode_whole(codec(how, Payment).encode(union)) == NewPayment(cash=5)
    # Both in one message: a union is one thing.
    b: Any = how.bytes
    both = b.struct(b.field(I32, 2, b.i32(1)), b.field(I64, 5, b.i64(3)), b.field(I32, 9, b.i32(1)))
    union = codec(how, Payment).decode_whole(both)
    assert (union, unknown_of(union)) == (Payment(cash=3), None)


@each_protocol
def test_a_known_member_of_a_wrong_type_is_not_kept(how: How) -> None:
    b: Any = how.bytes
    union = codec(how, Payment).decode_whole(b.struct(b.field(I32, 1, b.i32(1))))
    with pytest.raises(LocalProtocolError, match=r"Payment is a union: exactly one field must be set, got none$"):
        codec(how, Payment).encode(union)
    order = b.struct(b.field(I64, 2, b.i64(1)), b.field(I32, 4, b.i32(1)))
    assert unknown_of(codec(how, Order, "keep").decode_whole(order)) is None


@each_protocol
def test_unions_that_are_keys_stay_apart(how: How) -> None:
    unions = [
        codec(how, Payment).decode_whole(codec(how, NewPayment).encode(each))
        for each in (NewPayment(free=True), NewPayment(free=False), NewPayment(wallet=WALLET), NewPayment(free=True))
    ]
    assert unions[0] == unions[3] != unions[1] != unions[2] != Payment(cash=1)
    assert len({*unions, Payment(cash=1), Payment(cash=1)}) == 4
    assert len({hash(union) for union in unions}) == 3


# Structs.


@each_protocol
def test_structs_keep_fields_where_they_are_told_to(how: How) -> None:
    sent = codec(how, NewOrder).encode(NEW)
    order = codec(how, Order, "keep").decode_whole(sent)
    assert order == codec(how, Order).decode_whole(sent)  # nothing of it is seen
    assert repr(order).startswith(
        "Order(id=7, payment=Payment(<unknown field 3>), others=[Payment(card=None, cash=1), "
    )
    relayed = codec(how, Order, "keep").encode(order)
    assert codec(how, NewOrder).decode_whole(relayed) == NEW
    assert {unknown_of(codec(each, Order, "keep").decode_whole(sent)) for each in HOWS if each.name == how.name} == {
        unknown_of(order)
    }
    # Who was not told leaves them out, on either side.
    assert codec(how, NewOrder).decode_whole(codec(how, Order).encode(order)) == NEW_BUT_FOR_FIELDS
    dropped = codec(how, Order).decode_whole(sent)
    assert codec(how, NewOrder).decode_whole(codec(how, Order, "keep").encode(dropped)) == NEW_BUT_FOR_FIELDS


@each_protocol
@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_a_struct_keeps_a_field_of_every_type_at_any_place(how: How, name: str) -> None:
    kind, value = how.unknown[name]
    b: Any = how.bytes
    before, behind, known = b.field(kind, -3, value), b.field(kind, 300, value), b.field(I64, 2, b.i64(9))
    order = codec(how, Order, "keep").decode_whole(b.struct(before, known, behind))
    written = codec(how, Order, "keep").encode(order)
    again = codec(how, Order, "keep").decode_whole(written)
    assert (again, unknown_of(again)) == (Order(id=9), unknown_of(order))
    if how.name != "compact":  # whose heads depend on what stands before
        assert written == b.struct(known, before, behind)
    assert unknown_of(codec(how, Order, "keep").decode_whole(b.struct(known, before, behind))) == unknown_of(order)


@each_protocol
def test_text_that_is_not_utf8_stays_as_it_is(how: How) -> None:
    b: Any = how.bytes
    data = b.struct(b.field(I64, 2, b.i64(9)), b.field(LIST, 99, b.sequence(STRING, b.text(b"caf\xe9"))))
    order = codec(how, Order, "keep").decode_whole(data)
    written = codec(how, Order, "keep").encode(order)
    assert b"caf\xe9" in written
    assert unknown_of(codec(how, Order, "keep").decode_whole(written)) == unknown_of(order)


@each_protocol
def test_what_is_kept_is_bounded_by_what_came(how: How) -> None:
    b: Any = how.bytes
    small = b.field(BOOL, 700, b.bool(True))
    data = b.struct(b.field(I64, 2, b.i64(9)), *[small] * 10_000)
    kept = unknown_of(codec(how, Order, "keep").decode_whole(data))
    assert kept is not None
    assert len(kept) <= 8 * len(data)
    # And so is it for nothing but heads of one byte each.
    compact = next(each for each in HOWS if each.name == "compact" and each.backend == how.backend)
    data = codec(compact, Order).encode(Order(id=9))[:-1] + b"\x11" * 10_000 + b"\0"
    kept = unknown_of(codec(compact, Order, "keep").decode_whole(data))
    assert kept is not None
    assert len(kept) <= 8 * len(data)


def frozen_and_others() -> list[Any]:
    class Frozen(rpc.FrozenStruct, frozen=True):
        id: int

        __thrift_fields__ = (rpc.required(2, "id", rpc.I64),)

    class Failed(rpc.DeclaredError):
        id: int

        __thrift_fields__ = (rpc.required(2, "id", rpc.I64),)

    return [Frozen, Failed]


@each_protocol
@pytest.mark.parametrize("cls", frozen_and_others(), ids=lambda cls: cls.__name__)
def test_frozen_structs_and_exceptions_keep_them_too(how: How, cls: Any) -> None:
    value = codec(how, cls, "keep").decode_whole(codec(how, NewOrder).encode(NEW))
    assert codec(how, NewOrder).decode_whole(codec(how, cls, "keep").encode(value)) == NEW


# Values.

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "replace": lambda value: value.__replace__(),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_keep_them(copied: Callable[[Any], Any]) -> None:
    keeping = idlrt.codec(Order, unknown="keep")
    order = keeping.decode_whole(idlrt.encode(NEW))
    made = copied(order)
    assert made == order
    assert idlrt.decode(NewOrder, keeping.encode(made)) == NEW
    assert copied(Order(id=1)) == Order(id=1)
    error = idlrt.codec(Refused, unknown="keep").decode_whole(idlrt.encode(NewRefused(why="x", retry_after=9)))
    if copied is not COPIES["replace"]:
        union = idlrt.decode(Payment, idlrt.encode(NewPayment(free=True)))
        assert idlrt.decode(NewPayment, idlrt.encode(copied(union))) == NewPayment(free=True)
        assert copied(Payment(cash=1)) == Payment(cash=1)
        assert unknown_of(copied(error)) == unknown_of(error) is not None
        assert copied(Refused(why="y")) == Refused(why="y")


def test_nothing_of_it_is_a_field() -> None:
    order = idlrt.codec(Order, unknown="keep").decode_whole(idlrt.encode(NEW_BUT_FOR_FIELDS))
    assert Order.__struct_fields__ == ("id", "payment", "others")
    assert msgspec.json.decode(msgspec.json.encode(Order(id=1)), type=Order) == Order(id=1)
    assert set(msgspec.structs.asdict(order)) == {"id", "payment", "others"}
    with pytest.raises(TypeError):
        Order(id=1, __thrift_unknown__=b"")  # type: ignore[call-arg]


# From one protocol to another.


@pytest.mark.parametrize("target", ["binary", "compact", "json"])
@pytest.mark.parametrize("origin", ["binary", "compact", "json"])
@pytest.mark.parametrize("backend", sorted({how.backend for how in HOWS}))
def test_values_are_translated_between_protocols(origin: str, target: str, backend: str) -> None:
    hows = {how.name: how for how in HOWS if how.backend == backend}
    new = NewOrder(
        id=7,
        urgent=True,
        payment=NewPayment(free=False),
        others=[NewPayment(free=True), NewPayment(cash=1)],
    )
    order = codec(hows[origin], Order, "keep").decode_whole(codec(hows[origin], NewOrder).encode(new))
    written = codec(hows[target], Order, "keep").encode(order)
    assert codec(hows[target], NewOrder).decode_whole(written) == new


@pytest.mark.parametrize("target", ["binary", "compact", "json"])
@pytest.mark.parametrize("origin", ["binary", "compact", "json"])
@pytest.mark.parametrize("name", KINDS_OF_VALUES)
def test_both_backends_translate_alike(origin: str, target: str, name: str) -> None:
    outcomes = []
    for backend in sorted({how.backend for how in HOWS}):
        hows = {how.name: how for how in HOWS if how.backend == backend}
        kind, value = hows[origin].unknown[name]
        b: Any = hows[origin].bytes
        data = b.struct(b.field(I64, 2, b.i64(9)), b.field(kind, 6, value), b.field(I32, 7, b.i32(1)))
        union = codec(hows[origin], Payment).decode_whole(b.struct(b.field(kind, 6, value)))
        order = codec(hows[origin], Order, "keep").decode_whole(data)
        try:
            outcomes.append(codec(hows[target], Payment).encode(union))
        except LocalProtocolError as error:
            outcomes.append(str(error))
        outcomes.append(codec(hows[target], Order, "keep").encode(order))
    assert outcomes[:2] == outcomes[-2:]


@each_protocol
def test_strings_do_not_say_in_binary_whether_json_has_them_as_text(how: How) -> None:
    """A `binary` is base64 there: guessing would corrupt it. Unions say so, structs go without."""
    others = [each for each in HOWS if each.backend == how.backend and (each.name == "json") != (how.name == "json")]
    for other in others:
        order = codec(how, Order, "keep").decode_whole(codec(how, NewOrder).encode(NEW))
        what = (
            rf"^cannot write Order: Order\.payment has an unknown field 3 that came in {how.name} and cannot be "
            rf"written in {other.name}: its bytes do not say whether a string in it is text or binary$"
        )
        with pytest.raises(LocalProtocolError, match=what):
            codec(other, Order, "keep").encode(order)
        order.payment = None
        relayed = codec(other, NewOrder).decode_whole(codec(other, Order, "keep").encode(order))
        assert relayed == msgspec.structs.replace(NEW, payment=None, note=None, wallet=None)


# Relays.


class Orders(Protocol):
    def place(self, order: Order) -> Order: ...


class NewOrders(Protocol):
    def place(self, order: NewOrder) -> NewOrder: ...


def place(method: Any, order: type, error: type) -> Any:
    return rpc.method(
        method,
        rpc.required(1, "order", rpc.struct(order)),
        result=rpc.struct(order),
        throws=(rpc.optional(1, "e", rpc.struct(error)),),
        policy={"timeout": "60"},
    )


PLACE, NEW_PLACE = place(Orders.place, Order, Refused), place(NewOrders.place, NewOrder, NewRefused)


class OrdersClient(Client):
    __thrift_service__ = rpc.service("Orders", PLACE)

    def place(self, order: Order) -> Order:
        return self._call(PLACE, order)


class AsyncOrdersClient(AsyncClient):
    __thrift_service__ = rpc.service("Orders", PLACE)

    async def place(self, order: Order) -> Order:
        return await self._call(PLACE, order)


class NewOrdersClient(Client):
    __thrift_service__ = rpc.service("Orders", NEW_PLACE)

    def place(self, order: NewOrder) -> NewOrder:
        return self._call(NEW_PLACE, order)


class NewHandler:
    def place(self, order: NewOrder) -> NewOrder:
        if order.id < 0:
            raise NewRefused(why="below 0", retry_after=9)
        return order


class Relay:
    def __init__(self, client: OrdersClient) -> None:
        self._client = client

    def place(self, order: Order) -> Order:
        return self._client.place(order)


class AsyncRelay:
    def __init__(self, target: str, unknown: str) -> None:
        self._target, self._unknown = target, unknown

    async def place(self, order: Order) -> Order:
        async with AsyncOrdersClient.connect(self._target, unknown=self._unknown) as client:  # type: ignore[arg-type]
            return await client.place(order)


@pytest.mark.parametrize("unknown", ["drop", "keep"])
@pytest.mark.parametrize("protocol", ["binary", "compact"])
@pytest.mark.parametrize("engine", ["selector", "asyncio", "processes"])
def test_a_relay_passes_on_what_it_does_not_know(engine: str, protocol: str, unknown: str, tmp_path: Path) -> None:
    seen = NEW if unknown == "keep" else NEW_BUT_FOR_FIELDS
    new_handlers = bind(NewOrdersClient.__thrift_service__, NewHandler())
    with serving(Kind("selector"), new_handlers, tmp_path) as end:
        relay: Any
        inner: Any = {"unknown": unknown}
        with OrdersClient.connect(end.address, **inner) as client:
            relay = AsyncRelay(end.address, unknown) if engine == "asyncio" else Relay(client)
            kind = Kind(engine, has_coroutines=engine == "asyncio")
            handlers = bind(OrdersClient.__thrift_service__, relay)
            with (
                serving(kind, handlers, tmp_path, unknown=unknown) as running,
                NewOrdersClient.connect(running.address, protocol=protocol, framing="header") as caller,
            ):
                assert caller.place(NEW) == seen
                with pytest.raises(NewRefused) as caught:
                    caller.place(NewOrder(id=-1))
                assert caught.value.retry_after == (9 if unknown == "keep" else None)


WRONG = r"^unknown must be 'drop' or 'keep', not True$"


@pytest.mark.parametrize(
    "make",
    [
        lambda: idlrt.codec(Order, unknown=True),  # type: ignore[arg-type]
        lambda: OrdersClient.connect("127.0.0.1:1", unknown=True),  # type: ignore[arg-type]
        lambda: AsyncOrdersClient.connect("127.0.0.1:1", unknown=True),  # type: ignore[arg-type]
        lambda: Server(bind(OrdersClient.__thrift_service__, NewHandler()), unknown=True),  # type: ignore[arg-type]
    ],
    ids=["codec", "client", "asyncio client", "server"],
)
def test_other_options_are_refused_with_a_sentence(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError, match=WRONG):
        make()
