"""Headers that are written are read as the same context, as far as the format goes; invalid ones never raise."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from idlrt.observe.tracing.context import Incoming, Outgoing, TraceContext
from idlrt.observe.tracing.propagation import (
    FORMATS,
    MAX_BAGGAGE,
    MAX_BAGGAGE_MEMBERS,
    MalformedHeader,
    foreign_span_id,
    from_kafka,
    kafka_headers,
    read,
    write,
)
from idlrt.observe.tracing.propagation.baggage import format_baggage, parse_baggage
from idlrt.observe.tracing.propagation.tracestate import MAX_STATE, parse_state, sampling_of, with_sampling

ALL = tuple(FORMATS)

hex_ids = lambda digits: st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")  # noqa: E731
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
pairs = st.dictionaries(names.filter(lambda name: name != "rpc_tags"), texts, max_size=8)
numbers = st.none() | st.integers(0, 2**56 - 1)
members = st.tuples(
    st.from_regex(r"[a-z0-9][a-z0-9_\-*/@]{0,20}", fullmatch=True).filter(lambda key: key != "ot"),
    st.from_regex(r"[ -+\--<>-~]{0,140}[!-+\--<>-~]", fullmatch=True),
)
states = st.lists(members, max_size=6, unique_by=lambda member: member[0]).map(
    lambda found: ",".join(f"{key}={value}".strip() for key, value in found)
)


@st.composite
def contexts(draw: st.DrawFn) -> TraceContext:
    """Contexts as a tracer makes them: the threshold of a sampled trace is in its state."""
    sampled = draw(st.booleans())
    threshold, randomness = draw(numbers) if sampled else None, draw(numbers)
    return TraceContext(
        draw(hex_ids(32)),
        draw(hex_ids(16)),
        sampled,
        is_random=draw(st.booleans()),
        state=with_sampling(parse_state(draw(states)) or "", threshold, randomness),
        threshold=threshold,
        randomness=randomness,
    )


outgoings = st.builds(
    Outgoing,
    contexts(),
    parent_id=st.just("") | hex_ids(16),
    baggage=pairs,
    tags=pairs,
    once=pairs,
    service=texts,
    instance=texts,
    endpoint=texts,
    target=texts,
    method=texts,
    segment=texts,
    segment_span=st.integers(0, 2**31 - 1),
    rpc_id=st.just("") | st.from_regex(r"0(\.[1-9]){0,5}", fullmatch=True),
    sent_at=st.floats(0, 1e10),
)


def expected(name: str, outgoing: Outgoing) -> TraceContext | None:
    """Return the parts of the context that a format can carry."""
    context = outgoing.context
    bare = TraceContext(context.trace_id, context.span_id, context.is_sampled)
    if name == "w3c":
        return context
    if name == "sw8":
        if not context.is_sampled:
            return None
        segment = outgoing.segment or context.span_id
        return msgspec.structs.replace(bare, span_id=foreign_span_id(segment, str(outgoing.segment_span)))
    # -1 stands for no span.
    if name == "pinpoint" and context.span_id == "f" * 16:
        return None
    return bare


@pytest.mark.parametrize("name", ALL)
@given(outgoing=outgoings)
def test_what_is_written_is_read_again(name: str, outgoing: Outgoing) -> None:
    sent = write(outgoing, [name])
    found = read(sent, ALL)
    want = expected(name, outgoing)
    if want is None:
        assert found.context is None
    else:
        assert found.context is not None
        if name in ("sw8", "eagleeye"):
            # The low part of foreign ids may not be random.
            want = msgspec.structs.replace(want, randomness=found.context.randomness)
        if not (name == "eagleeye" and want.span_id == "f" * 16):
            assert found.context == want
        assert found.format == name
        assert found.malformed == ()
    assert found.conflicts == ()
    assert {key: found.tags[key] for key in outgoing.tags} == outgoing.tags
    assert {key: found.baggage[key] for key in outgoing.baggage} == {**outgoing.baggage, **{
        key: value for key, value in outgoing.tags.items() if key in outgoing.baggage
    }}  # fmt: skip
    assert found.once == outgoing.once
    assert all((each.isascii() and each.isprintable()) or name == "pinpoint" for each in sent.values())


@given(outgoing=outgoings)
def test_all_formats_at_once_agree(outgoing: Outgoing) -> None:
    for order in (ALL, ALL[::-1]):
        found = read(write(outgoing, ALL), order)
        assert found.context is not None
        assert found.context.trace_id == outgoing.context.trace_id
        assert found.context.is_sampled == outgoing.context.is_sampled
        assert found.context.state == outgoing.context.state
        assert found.context.randomness == outgoing.context.randomness
        assert found.conflicts == ()
    assert read(from_kafka(kafka_headers(outgoing, ALL)), ALL).context == outgoing.context


@given(b3=st.sampled_from(["b3", "b3multi"]), trace=hex_ids(32), span=hex_ids(16), sampled=st.none() | st.booleans())
def test_b3_carries_decisions_that_are_left_to_the_receiver(
    b3: str, trace: str, span: str, sampled: bool | None
) -> None:
    for context in (TraceContext(trace, span, sampled), TraceContext(trace, span, True, is_debug=True)):
        assert read(write(Outgoing(context), [b3]), [b3]).context == context


@given(st.text(max_size=600) | states, numbers, numbers)
def test_tracestate_stays_within_its_limits(text: str, threshold: int | None, randomness: int | None) -> None:
    state = parse_state(text)
    if state is None:
        return
    assert parse_state(state) == state
    changed = with_sampling(state, threshold, randomness)
    assert len(changed) <= MAX_STATE
    assert parse_state(changed) == changed
    assert sampling_of(changed) == (threshold, randomness)
    assert with_sampling(changed, threshold, randomness) == changed


@given(st.dictionaries(names, st.text(max_size=400), max_size=100), pairs)
def test_baggage_stays_within_its_limits(baggage: dict[str, str], tags: dict[str, str]) -> None:
    text, dropped = format_baggage(baggage, tags)
    assert len(text.encode()) <= MAX_BAGGAGE
    found = parse_baggage(text)
    assert len(found.members) <= MAX_BAGGAGE_MEMBERS
    assert len(found.members) + dropped == len({*baggage, *tags} - {"rpc_tags"})
    assert found.tags.items() <= tags.items()
    assert found.dropped == 0
    assert not found.is_malformed


KNOWN = [
    *(name for each in FORMATS.values() for name in each.headers),
    "baggage", "uberctx-a", "rpc_once-a", "Traceparent", "X-B3-TraceId", "rpc_once-.c3.28",
]  # fmt: skip
VALUES = st.text(max_size=80) | st.text("0123456789abcdef-:^.=,;&%s ", max_size=80)


def good_headers() -> st.SearchStrategy[dict[str, str]]:
    return outgoings.map(lambda outgoing: write(outgoing, ALL))


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, str]:
    """Good headers, of which some are cut, extended or replaced."""
    headers = draw(good_headers())
    for name in draw(st.lists(st.sampled_from(sorted(headers)), max_size=4)):
        at = draw(st.integers(0, len(headers[name])))
        headers[name] = headers[name][:at] + draw(VALUES) + headers[name][at + draw(st.integers(0, 3)) :]
    return headers


@given(st.dictionaries(st.sampled_from(KNOWN) | st.text(max_size=20), VALUES, max_size=12) | damaged())
@example({"sw8": "1-" + "A" * 3000})
@example({"baggage": "\udcff=\udcff"})
@example({"rpc_once-\udcff": "%"})
@example({"traceparent": f"00-{'1' * 32}-{'f' * 16}-00"})
@example({"eagleeye-traceid": "x", "baggage": "tag=gray%201", "eagleeye-userdata": "tag=gray"})
def test_nothing_makes_reading_fail(headers: dict[str, str]) -> None:
    found = read(headers, ALL)
    assert type(found) is Incoming
    if found.context is not None:
        check_context(found.context)
    for each in found.links:
        check_context(each)
    # What was read can be sent on.
    if found.context is not None:
        outgoing = Outgoing(
            found.context,
            baggage=found.baggage,
            tags=found.tags,
            once=found.once,
            original_id=found.sender.get("trace_id", ""),
        )
        sent = write(outgoing, ALL)
        again = read(sent, ALL)
        assert again.context is not None
        assert again.context.trace_id == found.context.trace_id
        assert again.malformed == ()
        assert (again.tags, again.baggage, again.once) == (found.tags, found.baggage, found.once)
        assert sum(len(name) + len(value) for name, value in sent.items()) < 45_000
    for each_format in FORMATS.values():
        with contextlib.suppress(MalformedHeader):
            each_format.extract(headers)


def check_context(context: Any) -> None:
    for value, digits in ((context.trace_id, 32), (context.span_id, 16)):
        assert len(value) == digits
        assert value == value.lower()
        assert int(value, 16)
    assert parse_state(context.state) == context.state
    assert len(context.state) <= MAX_STATE
