"""Reads headers of tracing systems that a caller sends, and sends on what was read.

python tests/fuzz/propagation.py [options of libFuzzer] [folders]

Reading never raises, and each format raises nothing but `MalformedHeader`. What was read is valid, the same in names of
any case, and can be sent on in every format: it is read again as the same trace, with the same baggage and tags.

An input is lines: a name, a colon and a value, in UTF-8. Its first byte says with which format the order begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from guidance import fuzz, guided

with guided(__name__):
    from idlrt.observe.tracing.context import Outgoing, TraceContext
    from idlrt.observe.tracing.propagation import FORMATS, MalformedHeader, from_kafka, read, write
    from idlrt.observe.tracing.propagation.tracestate import MAX_STATE, parse_state

NAMES = tuple(FORMATS)
# Metadata that a server accepts are of about this size.
MOST_SENT = 45_000


def check(data: bytes) -> bool:
    """Return whether a position in a trace was read.

    Raises:
        AssertionError: a finding.
        Exception: likewise.
    """
    if not data:
        return False
    first = data[0] % len(NAMES)
    order = NAMES[first:] + NAMES[:first]
    headers = parse(data[1:])
    found = read(headers, order)
    for each in FORMATS.values():
        with contextlib.suppress(MalformedHeader):
            each.extract(headers)
    upper = {name.upper(): value for name, value in headers.items()}
    if all(name.upper().lower() == name for name in headers):
        assert read(upper, order) == found, "names in upper case"
    assert read(from_kafka((name, value.encode()) for name, value in headers.items()), order).malformed is not None
    assert len(found.conflicts) == len(found.links)
    for context in found.links:
        check_context(context)
    if found.context is None:
        return found.decision is not None
    check_context(found.context)
    check_sent(found.context, Outgoing(
        found.context, baggage=found.baggage, tags=found.tags, once=found.once,
        original_id=found.sender.get("trace_id", ""), rpc_id=found.sender.get("rpc_id", ""),
    ))  # fmt: skip
    return True


def parse(data: bytes) -> dict[str, str]:
    """Return the headers of an input, by names in lower case."""
    headers: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value
    return headers


def check_context(context: TraceContext) -> None:
    for value, digits in ((context.trace_id, 32), (context.span_id, 16)):
        assert len(value) == digits, context
        assert not value.strip("0123456789abcdef"), context
        assert value.strip("0"), context
    assert len(context.state) <= MAX_STATE, context
    assert parse_state(context.state) == context.state, context
    for number in (context.threshold, context.randomness):
        assert number is None or 0 <= number < 1 << 56, context


def check_sent(context: TraceContext, outgoing: Outgoing) -> None:
    sent = write(outgoing, NAMES)
    assert sum(len(name) + len(value) for name, value in sent.items()) <= MOST_SENT, "too much to send"
    again = read(sent, NAMES)
    assert again.malformed == (), f"{again.malformed} of {sent}"
    assert again.conflicts == (), f"{again.conflicts} of {sent}"
    assert again.context is not None
    assert again.context.trace_id == context.trace_id
    assert again.context.span_id == context.span_id
    assert bool(again.context.is_sampled) == bool(context.is_sampled)
    assert again.context.threshold == (context.threshold if context.is_sampled else None)
    assert again.context.randomness == context.randomness
    assert dict(again.tags) == dict(outgoing.tags), f"{again.tags} of {sent}"
    assert dict(again.baggage) == dict(outgoing.baggage), f"{again.baggage} of {sent}"
    assert dict(again.once) == dict(outgoing.once), f"{again.once} of {sent}"
    assert write(outgoing, NAMES) == sent


T, S = "4f1e2d3c5b6a79880123456789abcdef", "00f0e1d2c3b4a596"
SENT = (
    f"traceparent:00-{T}-{S}-03\ntracestate:ot=th:fd70a;rv:6e6d1a75832a2f,idl=a1,es=s:1",
    f"traceparent:cc-{T}-{S}-01-more\nbaggage:tag=gray%201,uid=7;p=1,rpc_tags=tag/uid",
    f"traceparent:00-{T}-{S}-00\nrpc_once-user:42\nrpc_once-.4f:%20",
    f"b3:{T}-{S}-1-1122334455667788",
    f"b3:{T[16:]}-{S}-d",
    "b3:0",
    f"x-b3-traceid:{T}\nx-b3-spanid:{S}\nx-b3-parentspanid:1122334455667788\nx-b3-sampled:1\nx-b3-flags:0",
    f"uber-trace-id:{T}:{S}:0:3\nuberctx-user:a%20b",
    "jaeger-debug-id:x\njaeger-baggage:a=1, b=2",
    (
        "sw8:1-NGYxZTJkM2M1YjZhNzk4ODAxMjM0NTY3ODlhYmNkZWY=-c2VnLjcuMQ==-3-c2hvcA==-c2hvcC0xQDEwLjAuMC41"
        "-c2hvcC5DYXJ0L2FkZA==-Y2FsYy5zdmM6OTA5MA==\nsw8-correlation:dGFn:Z3JheQ==,dWlk:Nw==\nsw8-x:0-1796000000123"
    ),
    "eagleeye-traceid:ea0a00000517960000001231001d001f\neagleeye-rpcid:0.1.2\neagleeye-userdata:tag=gray&uid=7",
    "eagleeye-traceid:eac0a8020116974429411421021d0001\neagleeye-spanid:-1207596966212570593\neagleeye-sampled:s0",
    "pinpoint-traceid:shop-1^1796000000123^7\npinpoint-spanid:67802289753335190\npinpoint-pspanid:-1",
    "pinpoint-sampled:s0",
    f"pinpoint-traceid:w3c.a^5701043915552618888^81985529216486895\npinpoint-spanid:7\ntraceparent:00-{T}-{S}-01",
)


def seeds() -> Iterator[bytes]:
    """Headers as other systems send them, alone and next to each other."""
    for number, text in enumerate(SENT):
        yield bytes([number % len(NAMES)]) + text.encode()
        yield bytes([number % len(NAMES)]) + "\n".join([text, SENT[number - 4]]).encode()
        yield bytes([number % len(NAMES)]) + text[: len(text) - 7].encode()


if __name__ == "__main__":
    fuzz(check, seeds)
