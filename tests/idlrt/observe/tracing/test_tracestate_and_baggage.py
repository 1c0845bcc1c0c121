"""`tracestate` and `baggage`: what is valid, limits, the sampling threshold, and business tags."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from idlrt.observe.tracing.context import Outgoing, TraceContext
from idlrt.observe.tracing.propagation import MAX_BAGGAGE, MAX_BAGGAGE_MEMBERS, format_baggage, read, write
from idlrt.observe.tracing.propagation.baggage import parse_baggage
from idlrt.observe.tracing.propagation.tracestate import MAX_STATE, parse_state, sampling_of, with_sampling

T = "4f1e2d3c5b6a79880123456789abcdef"
S = "00f0e1d2c3b4a596"
PARENT = f"00-{T}-{S}-01"
PRINTABLE = "".join(map(chr, (*range(0x20, 0x2C), *range(0x2D, 0x3D), *range(0x3E, 0x7F))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo=1,bar=2", "foo=1,bar=2"),
        ("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3"),
        ("foo=1,", "foo=1"),
        (",,foo=1", "foo=1"),
        ("", ""),
        (" ", ""),
        ("0a@b-*_/=x y", "0a@b-*_/=x y"),
        ("foo@=1,bar=2", "foo@=1,bar=2"),
        ("foo@bar@baz=1", "foo@bar@baz=1"),
        (f"a={PRINTABLE}", f"a={PRINTABLE}"),
        (f"foo=1,{'z' * 256}=1", f"foo=1,{'z' * 256}=1"),
        (f"foo=1,bar={'z' * 256}", f"foo=1,bar={'z' * 256}"),
        (",".join(f"bar{at:02}={at:02}" for at in range(32)), ",".join(f"bar{at:02}={at:02}" for at in range(32))),
        # Invalid as a whole.
        ("foo=1,foo=1", "foo=1"),
        ("foo=1,foo=2", "foo=1"),
        ("foo =1", None),
        ("FOO=1", None),
        ("foo.bar=1", None),
        ("@foo=1,bar=2", None),
        ("foo=bar=baz", None),
        ("foo=,bar=3", None),
        ("foo", None),
        ("=1", None),
        ("foo=é", None),
        ("foo=1\n", None),
        (f"{'z' * 257}=1", None),
        (f"a={'z' * 257}", None),
        (",".join(f"bar{at:02}={at:02}" for at in range(33)), None),
        ("a=1," + " " * 20_000, None),
    ],
)
def test_what_is_valid(text: str, expected: str | None) -> None:
    assert parse_state(text) == expected
    found = read({"traceparent": PARENT, "tracestate": text}, ["w3c"])
    assert found.context is not None
    assert found.context.trace_id == T
    assert found.context.state == (expected or "")
    assert found.malformed == (("tracestate",) if expected is None else ())


def test_tracestate_is_ignored_without_a_valid_traceparent() -> None:
    assert read({"tracestate": "foo=1"}, ["w3c"]).context is None
    assert read({"traceparent": "00-x", "tracestate": "foo=1"}, ["w3c"]).malformed == ("w3c",)


def test_members_are_dropped_whole_long_ones_first_then_from_the_end() -> None:
    long, short = "b=" + "x" * 200, [f"a{at}={'y' * 90}" for at in range(5)]
    text = parse_state(",".join([short[0], long, *short[1:]]))
    assert text == ",".join(short)
    assert len(text) <= MAX_STATE
    text = parse_state(",".join(f"a{at}={'y' * 100}" for at in range(8)))
    assert text == ",".join(f"a{at}={'y' * 100}" for at in range(4))
    assert parse_state(f"a={'x' * 250},b={'y' * 250},c=1") == f"a={'x' * 250},b={'y' * 250},c=1"
    assert parse_state(f"{'k' * 256}={'x' * 256},c=1") == ""


@pytest.mark.parametrize(
    ("state", "threshold", "randomness"),
    [
        ("ot=th:fd70a;rv:6e6d1a75832a2f,idl=a1", 0xFD70A000000000, 0x6E6D1A75832A2F),
        ("ot=th:0", 0, None),
        ("ot=th:8", 0x80000000000000, None),
        ("a=1,ot=x:y;th:ffbe77;z:1", 0xFFBE7700000000, None),
        ("ot=th:123456789abcdef", None, None),
        ("ot=th:", None, None),
        ("ot=th:g", None, None),
        ("ot=rv:12", None, None),
        ("ot=rv:0123456789abcdef", None, None),
        ("foot=th:8", None, None),
        ("a=ot=th:8", None, None),
    ],
)
def test_threshold_and_randomness_are_read(state: str, threshold: int | None, randomness: int | None) -> None:
    assert sampling_of(state) == (threshold, randomness)


@pytest.mark.parametrize(
    ("state", "threshold", "randomness", "expected"),
    [
        ("", None, None, ""),
        ("a=1", None, None, "a=1"),
        ("", 0, None, "ot=th:0"),
        ("", 0xFD70A000000000, 0x2F, "ot=th:fd70a;rv:0000000000002f"),
        # Nothing changes: the member stays where it is.
        ("a=1,ot=th:8", 0x80000000000000, None, "a=1,ot=th:8"),
        ("a=1,ot=th:8,b=2", 0xC0000000000000, None, "ot=th:c,a=1,b=2"),
        ("a=1,ot=th:8;p:1,b=2", None, None, "ot=p:1,a=1,b=2"),
        ("a=1,ot=th:8", None, None, "a=1"),
        ("a=1,ot=th:zz;p:1", None, None, "ot=p:1,a=1"),
        ("a=1,ot=p:1", None, None, "a=1,ot=p:1"),
        ("foot=th:8", None, None, "foot=th:8"),
        ("ot=" + "p:" + "x" * 250, 0x80000000000000, None, "ot=th:8"),
        (",".join(f"a{at}=1" for at in range(32)), 0, None, "ot=th:0," + ",".join(f"a{at}=1" for at in range(31))),
    ],
)
def test_our_member_moves_to_the_front_when_it_changes(
    state: str, threshold: int | None, randomness: int | None, expected: str
) -> None:
    assert with_sampling(state, threshold, randomness) == expected
    outgoing = Outgoing(TraceContext(T, S, True, state=state, threshold=threshold, randomness=randomness))
    assert write(outgoing, ["w3c"]).get("tracestate", "") == expected


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("tag=gray%201,uid=7", {"tag": "gray 1", "uid": "7"}),
        ("k1=v1;property1;property2, k2 = v2, k3=v3; p=v", {"k1": "v1", "k2": "v2", "k3": "v3"}),
        ("a=1+1,b=1%2B1,c=a=b==", {"a": "1+1", "b": "1+1", "c": "a=b=="}),
        ("a=,b=%C3%A9", {"a": "", "b": "é"}),
        ("a=1,a=2", {"a": "2"}),
        ("a=%zz,b=%ff", {"a": "%zz", "b": "\ufffd"}),
        ("", {}),
        (",, ,", {}),
    ],
)  # fmt: skip
def test_baggage_is_read(text: str, members: Mapping[str, str]) -> None:
    assert parse_baggage(text).members == members
    assert not parse_baggage(text).is_malformed
    assert read({"baggage": text}, ["w3c"]).baggage == members
    assert read({"baggage": text}, ["b3"]).baggage == members


@pytest.mark.parametrize("text", ["a", "=1", "a b=1", "é=1", "a=é", "a=1 2", "\x00=1"])
def test_invalid_members_of_baggage_are_left_out(text: str) -> None:
    found = read({"baggage": f"x=1,{text},y=2"}, ["w3c"])
    assert found.baggage == {"x": "1", "y": "2"}
    assert found.malformed == ("baggage",)


def test_baggage_is_written_so_that_both_kinds_of_readers_agree() -> None:
    text, dropped = format_baggage({"tag": "gray 1", "sum": "1+1", "é": 'ü,;\\"%', "a/b": "="})
    assert text == "tag=gray%201,sum=1%2B1,%C3%A9=%C3%BC%2C%3B%5C%22%25,a%2Fb=="
    assert dropped == 0


def test_limits_of_baggage_apply_to_whole_members() -> None:
    many = {f"k{at}": "v" for at in range(200)}
    text, dropped = format_baggage(many)
    assert list(parse_baggage(text).members) == list(many)[:MAX_BAGGAGE_MEMBERS]
    assert dropped == 200 - MAX_BAGGAGE_MEMBERS
    found = read({"baggage": ",".join(f"{name}=v" for name in many)}, ["w3c"])
    assert len(found.baggage) == MAX_BAGGAGE_MEMBERS
    assert found.dropped == 200 - MAX_BAGGAGE_MEMBERS
    # A long member does not keep the others out.
    text, dropped = format_baggage({"a": "1", "b": "x" * MAX_BAGGAGE, "c": "3"})
    assert (text, dropped) == ("a=1,c=3", 1)
    found = read({"baggage": f"a=1,b={'x' * MAX_BAGGAGE},c=3"}, ["w3c"])
    assert (found.baggage, found.dropped) == ({"a": "1"}, 2)
    found = read({"baggage": "x" * 100_000}, ["w3c"])
    assert (found.baggage, found.dropped) == ({}, 1)
    # Full headers pass.
    full = {f"k{at:02}": "x" * 123 for at in range(64)}
    text, dropped = format_baggage(full)
    assert (len(text), dropped) == (64 * 128 - 1, 0)
    assert parse_baggage(text).members == full


def test_business_tags_are_baggage_that_every_service_can_read() -> None:
    tags = {"user": "42", "a/b": "x y", "ü": "1"}
    sent = write(
        Outgoing(TraceContext(T, S, True), baggage={"user": "1", "other": "2", "rpc_tags": "x"}, tags=tags), []
    )
    assert sent == {"baggage": "user=42,a%2Fb=x%20y,%C3%BC=1,other=2,rpc_tags=user/a%252Fb/%25C3%25BC"}
    found = read(sent, [])
    assert found.tags == tags
    assert found.baggage == {**tags, "other": "2"}
    # A name in the list without a member is no tag.
    assert read({"baggage": "a=1,rpc_tags=a/b"}, []).tags == {"a": "1"}
    assert read({"baggage": "rpc_tags=a"}, []).tags == {}


def test_tags_for_one_hop_do_not_go_on() -> None:
    once = {"user": "42", "Order.Id": "a b", "ü": "1%"}
    sent = write(Outgoing(TraceContext(T, S, True), once=once), ["w3c"])
    assert sent["rpc_once-user"] == "42"
    assert sent["rpc_once-.4frder.2e.49d"] == "a%20b"
    found = read(sent, ["w3c"])
    assert found.once == once
    assert found.tags == found.baggage == {}
    assert found.context == TraceContext(T, S, True)
    # Names that another client has not escaped.
    assert read({"rpc_once-order.id": "7", "rpc_once-": "8"}, []).once == {"order.id": "7"}
    found = read({f"rpc_once-{at}": "x" for at in range(100)}, [])
    assert (len(found.once), found.dropped) == (64, 36)
