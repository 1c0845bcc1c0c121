"""Whole messages of a method: head, arguments or result, and what closes them."""

from __future__ import annotations

from typing import Any

import pytest
import wire_types as t
from protocols import each_protocol, each_protocol_and_old

from idlrt import codegen as rpc
from idlrt.errors import ApplicationError, LocalProtocolError, RemoteProtocolError
from idlrt.protocol.thrift.message import decode_refusal, encode_refusal, method_codec
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.spec import Method, service

pytestmark = pytest.mark.slow

ORDER: Method[..., Any] = Method(
    "order",
    rpc.required(1, "basket", rpc.struct(t.Lists)),
    rpc.optional(2, "note", rpc.STRING),
    result=rpc.map_of(rpc.STRING, rpc.struct(t.Point)),
    throws=(rpc.optional(1, "broke", rpc.struct(t.Broke)),),
)
SHOP = service("Shop", ORDER)
unchecked: Any = t

RESULT = (rpc.optional(0, "success", ORDER.result), *ORDER.throws)
BASKET = t.Lists(texts=["ab", "c"], points=[t.Point(x=1), t.Point(x=2, y=3)], maps=[{"k": 7}])
PATH = r"^cannot read (message (header|end)|Shop\.order(\.[a-z]+|\[[^]]*\])*): .*offset \d+"


def body(how, fields, values):
    return how().record(fields, label=ORDER.full_name).encode(values) + how.envelope().tail


def call(how, arguments):
    return how.envelope().pack_head(MessageType.CALL, "order", 7) + body(how, ORDER.arguments, arguments)


def read_call(how, message):
    head, start = how.envelope().unpack_head(message)
    assert (head.kind, head.name, head.sequence_id) == (MessageType.CALL, "order", 7)
    return method_codec(ORDER, how.envelope()).decode_arguments(message, start)


@each_protocol_and_old
def test_a_call_is_read_as_it_was_written(how):
    message = call(how, (BASKET, None))
    assert read_call(how, message) == (BASKET, None)
    assert how.envelope().scanner().scan(message + b"more") == len(message)


@each_protocol_and_old
def test_every_truncation_of_a_call_is_refused_and_says_where(how):
    message = call(how, (BASKET, "é"))
    for end in range(len(message)):
        with pytest.raises(RemoteProtocolError, match=PATH):
            read_call(how, message[:end])


@each_protocol_and_old
def test_every_truncation_of_an_answer_is_refused_and_says_where(how):
    codec = method_codec(ORDER, how.envelope())
    thrown = body(how, RESULT, (None, t.Broke(code=1, why="x")))
    result = body(how, RESULT, ({"a": t.Point(x=1)}, None))
    for message in (result, thrown):
        for end in range(len(message)):
            with pytest.raises(RemoteProtocolError, match=PATH):
                codec.decode_result(message[:end], 0)
    assert codec.decode_result(result, 0) == {"a": t.Point(x=1)}
    with pytest.raises(t.Broke, match="why='x'"):
        codec.decode_result(thrown, 0)


@each_protocol
def test_errors_start_with_the_method(how):
    b, codec = how.bytes, method_codec(ORDER, how.envelope())
    point = b.struct(b.field(t.I32, 2, b.i32(1)))
    basket = b.struct(b.field(t.LIST, 11, b.sequence(t.STRUCT, point)))
    data = b.struct(b.field(t.STRUCT, 1, basket)) + how.envelope().tail
    what = r"^cannot read Shop\.order\.basket\.points\[0\]: missing required field 'x' \(struct ends at offset \d+\)$"
    with pytest.raises(RemoteProtocolError, match=what):
        codec.decode_arguments(data, 0)
    what = r"^cannot read Shop\.order\.success\['k'\]: missing required field 'x'"
    with pytest.raises(RemoteProtocolError, match=what):
        codec.decode_result(
            b.struct(b.field(t.MAP, 0, b.mapping(t.STRING, t.STRUCT, b.text("k"), point))) + how.envelope().tail, 0
        )
    with pytest.raises(LocalProtocolError, match=r"^cannot write Shop\.order: basket is required, got None$"):
        body(how, ORDER.arguments, (None, "x"))
    with pytest.raises(LocalProtocolError, match=r"^cannot write Shop\.order: basket\.points\[0\]\.x is required, got"):
        body(how, ORDER.arguments, (t.Lists(points=[unchecked.Point(x=None)]), "x"))


@each_protocol
def test_what_follows_the_end_is_refused(how):
    codec = method_codec(ORDER, how.envelope())
    data = body(how, ORDER.arguments, (BASKET, None))
    what = rf"^cannot read Shop\.order: 2 trailing bytes at offset {len(data)}$"
    with pytest.raises(RemoteProtocolError, match=what):
        codec.decode_arguments(data + b"]]", 0)
    with pytest.raises(ApplicationError, match=r"missing_result: Shop\.order: missing result"):
        codec.decode_result(how.bytes.struct() + how.envelope().tail, 0)


@each_protocol
def test_refusals(how):
    data = encode_refusal(how.envelope(), ApplicationError("no such method", 1))
    error = decode_refusal(how.envelope(), b"??" + data, 2)
    assert (error.message, error.code) == ("no such method", 1)
    for end in range(len(data) - len(how.envelope().tail)):
        with pytest.raises(RemoteProtocolError, match=r"^cannot read refusal(\.\w+)?: .*offset \d+"):
            decode_refusal(how.envelope(), data[:end], 0)
