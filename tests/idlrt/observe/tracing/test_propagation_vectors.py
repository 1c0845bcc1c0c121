"""Headers of every format, as other systems send them, and what is sent to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.context import NOTHING, Incoming, Outgoing, TraceContext, new_span_id, new_trace_id
from idlrt.observe.tracing.propagation import (
    FORMATS,
    MalformedHeader,
    check_formats,
    foreign_span_id,
    from_kafka,
    is_propagated,
    kafka_headers,
    read,
    write,
)

T = "4f1e2d3c5b6a79880123456789abcdef"
S = "00f0e1d2c3b4a596"
P = "1122334455667788"
ALL = tuple(FORMATS)

SW8 = (
    "1-NGYxZTJkM2M1YjZhNzk4ODAxMjM0NTY3ODlhYmNkZWY=-c2VnLjcuMQ==-3-c2hvcA==-c2hvcC0xQDEwLjAuMC41"
    "-c2hvcC5DYXJ0L2FkZA==-Y2FsYy5zdmM6OTA5MA=="
)
EAGLEEYE = "ea0a00000517960000001231001d001f"
PINPOINT = "shop-1^1796000000123^7"
TAGS = {"tag": "gray", "uid": "7"}


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def context(sampled: bool | None = True, **more: Any) -> TraceContext:
    return TraceContext(T, S, sampled, **more)


def extracted(name: str, headers: Mapping[str, str]) -> TraceContext:
    found = FORMATS[name].extract(headers)
    assert found is not None
    assert found.context is not None
    return found.context


READ = [
    ("w3c", {"traceparent": f"00-{T}-{S}-01"}, context()),
    ("w3c", {"traceparent": f"00-{T}-{S}-00"}, context(sampled=False)),
    ("w3c", {"traceparent": f"00-{T}-{S}-03"}, context(is_random=True)),
    ("w3c", {"traceparent": f"00-{T}-{S}-ff"}, context(is_random=True)),
    ("w3c", {"traceparent": f" \t00-{T}-{S}-01 \t"}, context()),
    ("w3c", {"traceparent": f"cc-{T}-{S}-01"}, context()),
    ("w3c", {"traceparent": f"cc-{T}-{S}-01-what-the-future-will-be-like"}, context()),
    (
        "w3c",
        {"traceparent": f"00-{T}-{S}-03", "tracestate": "ot=th:fd70a;rv:6e6d1a75832a2f,idl=a1,es=s:1"},
        context(
            is_random=True,
            state="ot=th:fd70a;rv:6e6d1a75832a2f,idl=a1,es=s:1",
            threshold=0xFD70A000000000,
            randomness=0x6E6D1A75832A2F,
        ),
    ),
    ("b3", {"b3": f"{T}-{S}-1-{P}"}, context()),
    ("b3", {"b3": f"{T}-{S}-d"}, context(is_debug=True)),
    ("b3", {"b3": f"{T}-{S}-0"}, context(sampled=False)),
    ("b3", {"b3": f"{T}-{S}"}, context(sampled=None)),
    ("b3", {"b3": f"{T.upper()}-{S.upper()}-1"}, context()),
    ("b3", {"b3": f"{T[16:]}-{S}-1"}, TraceContext("0" * 16 + T[16:], S, True)),
    ("b3multi", {"x-b3-traceid": T, "x-b3-spanid": S, "x-b3-parentspanid": P, "x-b3-sampled": "1"}, context()),
    ("b3multi", {"x-b3-traceid": T, "x-b3-spanid": S, "x-b3-sampled": "0"}, context(sampled=False)),
    ("b3multi", {"x-b3-traceid": T, "x-b3-spanid": S, "x-b3-sampled": "true"}, context()),
    ("b3multi", {"x-b3-traceid": T, "x-b3-spanid": S, "x-b3-flags": "1"}, context(is_debug=True)),
    ("b3multi", {"x-b3-traceid": T, "x-b3-spanid": S}, context(sampled=None)),
    ("jaeger", {"uber-trace-id": f"{T}:{S}:{P}:1"}, context()),
    ("jaeger", {"uber-trace-id": f"{T}:{S}:0:0"}, context(sampled=False)),
    ("jaeger", {"uber-trace-id": f"{T}:{S.lstrip('0')}:0:3"}, context(is_debug=True)),
    ("jaeger", {"uber-trace-id": f"{T}%3A{S}%3A{P}%3A1"}, context()),
    ("jaeger", {"uber-trace-id": "1:2:0:1"}, TraceContext("0" * 31 + "1", "0" * 15 + "2", True)),
    ("sw8", {"sw8": SW8, "sw8-correlation": ""}, TraceContext(T, foreign_span_id("seg.7.1", "3"), True)),
    ("sw8", {"sw8": "0" + SW8[1:]}, TraceContext(T, foreign_span_id("seg.7.1", "3"), False)),
    (
        "eagleeye",
        {"eagleeye-traceid": EAGLEEYE, "eagleeye-rpcid": "0.1.2"},
        TraceContext(EAGLEEYE, foreign_span_id(EAGLEEYE, "0.1.2"), None, randomness=int(md5(EAGLEEYE)[-14:], 16)),
    ),
    (
        # As a gateway of Alibaba's cloud sent them.
        "eagleeye",
        {
            "eagleeye-traceid": "eac0a8020116974429411421021d0001",
            "eagleeye-rpcid": "0.2.1",
            "eagleeye-spanid": "-1207596966212570593",
            "eagleeye-pspanid": "-7254661991881594415",
            "eagleeye-sampled": "s0",
        },
        TraceContext(
            "eac0a8020116974429411421021d0001",
            f"{2**64 - 1207596966212570593:016x}",
            False,
            randomness=int(md5("eac0a8020116974429411421021d0001")[-14:], 16),
        ),
    ),
    (
        "pinpoint",
        {"pinpoint-traceid": PINPOINT, "pinpoint-spanid": "67802289753335190", "pinpoint-pspanid": "-1"},
        TraceContext(md5(PINPOINT), S, True),
    ),
    (
        "pinpoint",
        {"pinpoint-traceid": PINPOINT, "pinpoint-spanid": "67802289753335190", "pinpoint-sampled": "s0"},
        TraceContext(md5(PINPOINT), S, False),
    ),
]


@pytest.mark.parametrize(("name", "headers", "expected"), READ)
def test_positions_that_others_send(name: str, headers: dict[str, str], expected: TraceContext) -> None:
    assert extracted(name, headers) == expected
    assert read(headers, ALL).context == expected
    assert read({key.title(): value for key, value in headers.items()}, ALL).context == expected


MALFORMED = [
    ("w3c", {"traceparent": text})
    for text in (
        "", f"00-{T}-{S}-0", f"00-{T}-{S}-01.", f"00-{T}-{S}-01-more", f"ff-{T}-{S}-01", f"cc-{T}-{S}-01.more",
        f"00-{T.upper()}-{S}-01", f"00-{'0' * 32}-{S}-01", f"00-{T}-{'0' * 16}-01", f"00-{T}-{S}-.0", f".0-{T}-{S}-01",
        f"000-{T}-{S}-01", f"0-{T}-{S}-01", f"00-{T}-{S}-01,00-{T}-{S}-01", f"00-{T}-{S}-01\n", f"00_{T}-{S}-01",
        f"cc-{T}-{S}-01-{'x' * 500}", f"00-{T[:-1]}é-{S}-01",
    )
] + [
    ("b3", {"b3": text})
    for text in (
        "", "2", "-", T, f"{T}-{S}-2", f"{T}-{S}-1-{P}-x", f"{T}-{S}-1-xyz", f"{T[1:]}-{S}-1", f"{'0' * 32}-{S}-1",
        f"{T}-{S[1:]}-1", "x" * 200,
    )
] + [
    ("b3multi", {"x-b3-traceid": T}),
    ("b3multi", {"x-b3-spanid": S}),
    ("b3multi", {"x-b3-traceid": T, "x-b3-spanid": S, "x-b3-sampled": "yes"}),
    ("b3multi", {"x-b3-traceid": T[1:], "x-b3-spanid": S}),
    ("b3multi", {"x-b3-sampled": "maybe"}),
] + [
    ("jaeger", {"uber-trace-id": text})
    for text in (
        "", f"{T}:{S}:{P}", f"{T}:{S}:{P}:1:1", f"{T}:{S}::1", f"{T}:{S}:0:",
        f"{T}:{S}:0:xyz", f"0:{S}:0:1", f"{T}:0:0:1",
        f"{T}0:{S}:0:1", f"{T}:{S}:0:1" + " " * 300,
    )
] + [
    ("sw8", {"sw8": text})
    for text in (
        "1", SW8[:-1], SW8 + "-", "2" + SW8[1:], SW8.replace("-3-", "-x-"), SW8.replace("-3-", "-99999999999-"),
        SW8.replace("NGYx", "N*Yx"), SW8.replace("c2VnLjcuMQ==", ""), SW8 + "A" * 2048, SW8.replace("c2hvcA==", "/w=="),
    )
] + [
    ("eagleeye", {"eagleeye-traceid": text})
    for text in ("", "0" * 32, "a b", "x" * 129, "é")
] + [
    ("eagleeye", {"eagleeye-traceid": EAGLEEYE, "eagleeye-rpcid": "0..1"}),
    ("eagleeye", {"eagleeye-traceid": EAGLEEYE, "eagleeye-spanid": "0x1"}),
    ("pinpoint", {"pinpoint-traceid": "shop-1", "pinpoint-spanid": "1"}),
    ("pinpoint", {"pinpoint-traceid": PINPOINT}),
    ("pinpoint", {"pinpoint-traceid": PINPOINT, "pinpoint-spanid": "-1"}),
    ("pinpoint", {"pinpoint-traceid": PINPOINT, "pinpoint-spanid": "0"}),
    ("pinpoint", {"pinpoint-traceid": PINPOINT, "pinpoint-spanid": str(2**63)}),
    ("pinpoint", {"pinpoint-traceid": PINPOINT + "^8", "pinpoint-spanid": "1"}),
    ("pinpoint", {"pinpoint-traceid": "x" * 25 + "^1^1", "pinpoint-spanid": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "headers"), MALFORMED)
def test_malformed_headers_count_as_absent_and_are_named(name: str, headers: dict[str, str]) -> None:
    with pytest.raises(MalformedHeader):
        FORMATS[name].extract(headers)
    assert read(headers, ALL) == Incoming(None, malformed=(name,))
    good = {"traceparent": f"00-{T}-{P}-01"} if name != "w3c" else {"b3": f"{T}-{P}-1"}
    found = read(headers | good, ALL)
    assert found.context == TraceContext(T, P, True)
    assert found.malformed == (name,)


@pytest.mark.parametrize(
    ("headers", "decision"),
    [
        ({"b3": "0"}, False),
        ({"b3": "1"}, True),
        ({"b3": "d"}, True),
        ({"x-b3-sampled": "0"}, False),
        ({"x-b3-flags": "1"}, True),
        ({"pinpoint-sampled": "s0"}, False),
        ({"pinpoint-sampled": "s1"}, None),
        ({"x-b3-flags": "0"}, None),
        ({"tracestate": "a=1"}, None),
        ({"sw8": ""}, None),
    ],
)
def test_decisions_without_ids(headers: dict[str, str], decision: bool | None) -> None:
    found = read(headers, ALL)
    assert found.context is None
    assert found.decision is decision


def test_names_of_the_caller() -> None:
    found = read({"sw8": SW8, "sw8-correlation": "dGFn:Z3JheQ==,dWlk:Nw==", "sw8-x": "0-1796000000123"}, ALL)
    assert found.format == "sw8"
    assert found.tags == found.baggage == TAGS
    assert found.sender == {
        "service": "shop", "instance": "shop-1@10.0.0.5", "endpoint": "shop.Cart/add", "address": "calc.svc:9090",
        "segment": "seg.7.1", "segment_span": "3", "mode": "0", "sent_at": "1796000000123",
    }  # fmt: skip
    headers = {
        "eagleeye-traceid": EAGLEEYE.upper(), "eagleeye-rpcid": "0.1.2", "eagleeye-pappname": "shop",
        "eagleeye-prpc": "Cart.add", "eagleeye-userdata": "tag=gray&uid=7", "eagleeye-pspanid": "1234605616436508552",
    }  # fmt: skip
    found = read(headers, ALL)
    assert found.tags == TAGS
    assert found.sender == {
        "app": "shop", "rpc_id": "0.1.2", "endpoint": "Cart.add", "parent_id": P, "trace_id": EAGLEEYE.upper(),
    }  # fmt: skip
    headers = {
        "pinpoint-traceid": PINPOINT, "pinpoint-spanid": "67802289753335190", "pinpoint-pspanid": "1234605616436508552",
        "pinpoint-flags": "0", "pinpoint-pappname": "shop", "pinpoint-papptype": "1700", "pinpoint-host": "calc:9090",
    }  # fmt: skip
    sender = {"app": "shop", "parent_id": P, "address": "calc:9090", "trace_id": PINPOINT}
    assert read(headers, ALL).sender == sender


def test_a_debug_id_begins_a_trace_that_can_be_found() -> None:
    found = read({"jaeger-debug-id": "some-id", "jaeger-baggage": "tag=gray%201, uid=7", "uberctx-a": "b%2Fc"}, ALL)
    assert found.context is None
    assert found.debug_id == "some-id"
    assert found.decision is True
    assert found.baggage == {"tag": "gray 1", "uid": "7", "a": "b/c"}


FULL = Outgoing(
    context(is_random=True, threshold=0xFD70A000000000),
    parent_id=P,
    tags=TAGS,
    service="shop",
    instance="shop-1@10.0.0.5",
    endpoint="shop.Cart/add",
    target="calc.svc:9090",
    method="Calc.add",
    segment="seg.7.1",
    segment_span=3,
    rpc_id="0.1.2",
    sent_at=1796000000.123,
)
WRITTEN = [
    ("w3c", {"traceparent": f"00-{T}-{S}-03", "tracestate": "ot=th:fd70a"}),
    ("b3", {"b3": f"{T}-{S}-1-{P}"}),
    ("b3multi", {"x-b3-traceid": T, "x-b3-spanid": S, "x-b3-parentspanid": P, "x-b3-sampled": "1"}),
    ("jaeger", {"uber-trace-id": f"{T}:{S}:{P}:1", "uberctx-tag": "gray", "uberctx-uid": "7"}),
    ("sw8", {"sw8": SW8, "sw8-correlation": "dGFn:Z3JheQ==,dWlk:Nw==", "sw8-x": "0-1796000000123"}),
    (
        "eagleeye",
        {
            "eagleeye-traceid": T, "eagleeye-rpcid": "0.1.2", "eagleeye-spanid": "67802289753335190",
            "eagleeye-pspanid": "1234605616436508552", "eagleeye-sampled": "s1", "eagleeye-pappname": "shop",
            "eagleeye-prpc": "Calc.add", "eagleeye-userdata": "tag=gray&uid=7",
        },
    ),
    (
        "pinpoint",
        {
            "pinpoint-traceid": "w3c.shop-1_10.0.0.5^5701043915552618888^81985529216486895",
            "pinpoint-spanid": "67802289753335190", "pinpoint-pspanid": "1234605616436508552", "pinpoint-flags": "0",
            "pinpoint-pappname": "shop", "pinpoint-papptype": "1700", "pinpoint-host": "calc.svc:9090",
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), WRITTEN)
def test_headers_that_are_sent(name: str, expected: dict[str, str]) -> None:
    assert FORMATS[name].inject(FULL) == expected
    assert write(FULL, [name]) == expected | {"baggage": "tag=gray,uid=7,rpc_tags=tag/uid"}
    known = FORMATS[name].headers
    assert all(key in known or (key.startswith("uberctx-") and "uberctx-" in known) for key in expected)


def test_a_call_that_is_not_sampled() -> None:
    sent = write(Outgoing(context(sampled=False, threshold=5)), ALL)
    assert sent["traceparent"] == f"00-{T}-{S}-00"
    assert "tracestate" not in sent
    assert sent["b3"] == f"{T}-{S}-0"
    assert sent["uber-trace-id"] == f"{T}:{S}:0:0"
    assert sent["pinpoint-sampled"] == "s0"
    # The presence of these makes agents of SkyWalking trace.
    assert not [name for name in sent if name.startswith("sw8")]


def test_ids_of_other_systems_go_on_as_they_came() -> None:
    for name, headers, key in (
        ("pinpoint", {"pinpoint-traceid": PINPOINT, "pinpoint-spanid": "7"}, "pinpoint-traceid"),
        ("sw8", {"sw8": SW8.replace("NGYxZTJkM2M1YjZhNzk4ODAxMjM0NTY3ODlhYmNkZWY=", "YS4xLjI=")}, "sw8"),
        ("eagleeye", {"eagleeye-traceid": "0a0000051796000000123"}, "eagleeye-traceid"),
    ):
        found = read(headers, ALL)
        assert found.context is not None
        assert found.context.trace_id == md5(found.sender["trace_id"])
        original = found.sender["trace_id"]
        same = Outgoing(TraceContext(found.context.trace_id, S, True), original_id=original)
        sent = write(same, [name])
        assert key in sent
        assert read(sent, ALL).sender["trace_id"] == original
        # An original that belongs to another trace is not sent.
        sent = write(Outgoing(context(), original_id=original), [name])
        assert extracted(name, sent).trace_id == T
        assert "trace_id" not in read(sent, ALL).sender


def test_the_first_valid_format_in_the_configured_order_wins() -> None:
    headers = {"traceparent": f"00-{T}-{S}-01", "b3": f"{T}-{P}-0"}
    assert read(headers, ["w3c", "b3"]).context == context()
    assert read(headers, ["b3", "w3c"]).context == TraceContext(T, P, False)
    assert read(headers, ["b3", "w3c"]).format == "b3"
    assert read(headers, ["jaeger"]) == NOTHING
    assert read(headers, []) == NOTHING
    assert read(headers | {"traceparent": "00-x"}, ["w3c", "b3"]).context == TraceContext(T, P, False)


def test_the_same_trace_in_two_formats_keeps_what_only_one_has() -> None:
    headers = {"traceparent": f"00-{T}-{S}-03", "tracestate": "ot=th:8,a=1", "sw8": SW8}
    found = read(headers, ["sw8", "w3c"])
    assert found.format == "sw8"
    assert found.sender["service"] == "shop"
    assert found.context is not None
    assert found.context.state == "ot=th:8,a=1"
    assert found.context.threshold == 0x80000000000000
    assert found.context.is_random
    assert read(headers, ["w3c", "sw8"]).sender == found.sender
    assert found.conflicts == ()
    # Old tracers keep the low half of an id.
    found = read({"traceparent": f"00-{T}-{S}-01", "b3": f"{T[16:]}-{P}-d"}, ["b3", "w3c"])
    assert found.context == TraceContext(T, P, True, is_debug=True)


def test_another_trace_becomes_a_link() -> None:
    other = T.replace("4", "5")
    found = read({"traceparent": f"00-{T}-{S}-01", "b3": f"{other}-{P}-1", "uber-trace-id": "x"}, ALL)
    assert found.context == context()
    assert found.conflicts == ("b3",)
    assert found.links == (TraceContext(other, P, True),)
    assert found.malformed == ("jaeger",)


def test_kafka_headers() -> None:
    sent = kafka_headers(FULL, ["w3c", "b3multi", "pinpoint"])
    names = [name for name, _ in sent]
    assert ("b3", f"{T}-{S}-1".encode()) in sent
    assert ("traceparent", f"00-{T}-{S}-03".encode()) in sent
    assert "Pinpoint-TraceID" in names
    assert not [name for name in names if name.startswith("x-b3")]
    first = [("traceparent", f"00-{T}-{P}-01".encode()), ("other", b"\xff"), ("tracestate", None)]
    found = from_kafka([*first, *sent])
    assert "other" not in found
    assert read(found, ALL).context == context(is_random=True, state="ot=th:fd70a", threshold=0xFD70A000000000)
    assert read(found, ALL).tags == TAGS
    assert from_kafka(None) == {}
    assert read(from_kafka([("traceparent", b"\xff" * 55)]), ALL).malformed == ("w3c",)
    assert from_kafka([("baggage", b"x" * 100_000)]) == {}


def test_metadata_of_formats_are_known() -> None:
    names = [
        "traceparent",
        "tracestate",
        "baggage",
        "b3",
        "x-b3-flags",
        "uberctx-a",
        "rpc_once-a",
        "pinpoint-host",
        "sw8",
    ]
    assert [name for name in names if not is_propagated(name)] == []
    assert not is_propagated("authorization")


def test_names_of_formats_in_a_configuration() -> None:
    assert check_formats(["w3c", "b3"]) == ("w3c", "b3")
    with pytest.raises(ConfigurationError, match=r"unknown trace format 'w3'.*did you mean 'w3c'"):
        check_formats(["w3"])
    with pytest.raises(ConfigurationError, match="'b3' is listed twice"):
        check_formats(["b3", "b3"])
    assert read({"b3": f"{T}-{S}-1"}, ["nonsense", "b3"]).context == context()
    assert write(Outgoing(context()), ["nonsense"]) == {}


def test_new_ids() -> None:
    ids = {new_trace_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) == 32 and int(each, 16) and each == each.lower() for each in ids)
    assert all(len(each) == 16 and int(each, 16) for each in (new_span_id() for _ in range(1000)))
