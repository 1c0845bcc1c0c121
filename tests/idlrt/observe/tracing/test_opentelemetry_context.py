"""In a program that uses the OpenTelemetry SDK, its spans and ours are one trace, in both directions."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eventually import eventually
from hand_written import AsyncUsers, AsyncUserServiceClient, NotFound, User, Users, UserServiceClient, user_service
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, get_current_span

from idlrt import observe
from idlrt.observe.tracing.exporters.segments import Segments
from idlrt.observe.tracing.setup import ActiveTracing
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.switch import TRACING
from idlrt.server import Server


class Theirs:
    """The SDK, without a global provider."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.tracer = provider.get_tracer("test")
        self.unsampled = TracerProvider(sampler=ALWAYS_OFF).get_tracer("test")

    def named(self, name: str) -> ReadableSpan:
        [found] = [each for each in self._spans.get_finished_spans() if each.name == name]
        return found

    @property
    def count(self) -> int:
        return len(self._spans.get_finished_spans())


def ids(span: ReadableSpan) -> tuple[str, str, str]:
    """Return the trace, the span and its parent, in hex."""
    found, parent = span.get_span_context(), span.parent
    assert found is not None
    return f"{found.trace_id:032x}", f"{found.span_id:016x}", f"{parent.span_id:016x}" if parent is not None else ""


@pytest.fixture
def theirs() -> Theirs:
    return Theirs()


@pytest.fixture(autouse=True)
def tracing() -> Iterator[ActiveTracing]:
    with observe.trace("test", sampler="always", opentelemetry=True) as active:
        yield active
    TRACING.use(None)


def ours(tracing: ActiveTracing, name: str, kind: str) -> FinishedSpan:
    """Return our span of a name and a kind, once there is one."""

    def found() -> list[FinishedSpan]:
        return [each for each in tracing.store.recent() if (each.name, each.kind) == (name, kind)]

    eventually(lambda: len(found()) == 1)
    [span] = found()
    return span


class Shop(Users):
    """`get` runs in a span of the SDK, and calls itself once more there."""

    def __init__(self, theirs: Theirs) -> None:
        super().__init__()
        self.theirs = theirs
        self.next: UserServiceClient | None = None
        self.seen: list[Any] = []

    def get(self, id: int) -> User:
        if id == 404:
            raise NotFound(id=id)
        with self.theirs.tracer.start_as_current_span(f"look up {id}"):
            self.seen.append((observe.trace_id(), dict(observe.tags()), dict(baggage.get_all())))
            if self.next is not None and id:
                observe.put("user", "42")
                self.next.get(id - 1)
        return User(id=id, name="Ada")


@pytest.mark.parametrize("workers", [0, 2])
def test_spans_of_the_sdk_are_in_between(tracing: ActiveTracing, theirs: Theirs, workers: int) -> None:
    shop = Shop(theirs)
    with (
        Server(user_service(shop), workers=workers).start() as first,
        Server(user_service(Shop(theirs))).start() as second,
        UserServiceClient.connect(second.address, framing="header") as shop.next,
        UserServiceClient.connect(first.address, framing="header") as client,
    ):
        client.get(1)
    eventually(lambda: len(tracing.store.recent()) == 4)
    spans = {(each.kind, each.parent_id): each for each in tracing.store.recent()}
    root = spans["client", ""]
    served = spans["server", root.span_id]
    trace_id, span_id, parent_id = ids(theirs.named("look up 1"))
    assert (trace_id, parent_id) == (root.trace_id, served.span_id)
    called = spans["client", span_id]
    assert not called.is_remote_parent
    behind = spans["server", called.span_id]
    assert ids(theirs.named("look up 0"))[::2] == (root.trace_id, behind.span_id)
    # Tags that were set inside of a span of the SDK travel on, and are on the span around it.
    assert behind.attributes["tag.user"] == served.attributes["tag.user"] == "42"
    inner = theirs.named("look up 1").attributes
    assert inner is not None
    assert inner["tag.user"] == "42"
    assert shop.seen[0][0] == root.trace_id


def test_asyncio(tracing: ActiveTracing, theirs: Theirs) -> None:
    asyncio.run(concurrent_calls(tracing, theirs))


async def concurrent_calls(tracing: ActiveTracing, theirs: Theirs) -> None:
    class Handler(AsyncUsers):
        async def get(self, id: int) -> User:
            with theirs.tracer.start_as_current_span("look up"):
                await asyncio.sleep(0)
                inner = await asyncio.to_thread(observe.trace_id)
            return User(id=id, name=inner)

    with Server(user_service(Handler())).start() as server:
        async with AsyncUserServiceClient.connect(server.address, framing="header") as client:
            with theirs.tracer.start_as_current_span("page"):
                results = await asyncio.gather(client.get(1), observe_span(client))
    trace_id, page, parent_id = ids(theirs.named("page"))
    assert parent_id == ""
    assert {each.name for each in results} == {trace_id}
    await asyncio.to_thread(eventually, lambda: len(tracing.store.recent()) == 5)
    spans = tracing.store.recent()
    assert {each.trace_id for each in spans} == {trace_id}
    [internal] = [each for each in spans if each.kind == "internal"]
    assert internal.parent_id == page
    assert sorted(each.parent_id for each in spans if each.kind == "client") == sorted((page, internal.span_id))


async def observe_span(client: AsyncUserServiceClient) -> User:
    with observe.span("inside"):
        return await client.get(2)


@pytest.mark.parametrize("is_sampled", [True, False])
def test_their_decision_is_followed(tracing: ActiveTracing, theirs: Theirs, is_sampled: bool) -> None:
    seen: list[SpanContext] = []

    class Handler(Users):
        def get(self, id: int) -> User:
            seen.append(get_current_span().get_span_context())
            with theirs.tracer.start_as_current_span("look up"):
                return super().get(id)

    tracer = theirs.tracer if is_sampled else theirs.unsampled
    with (
        Server(user_service(Handler())).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
        tracer.start_as_current_span("page") as page,
    ):
        client.get(1)
        trace_id = observe.trace_id()
    found = page.get_span_context()
    assert trace_id == f"{found.trace_id:032x}"
    assert (seen[0].trace_id, bool(seen[0].trace_flags & 1)) == (found.trace_id, is_sampled)
    if is_sampled:
        assert ours(tracing, "UserService.get", "client").parent_id == f"{found.span_id:016x}"
        assert ids(theirs.named("look up"))[0] == trace_id
    else:
        assert (tracing.store.recent(), theirs.count) == ([], 0)


def test_our_decision_is_followed(theirs: Theirs) -> None:
    TRACING.use(None)
    with observe.trace("test", sampler="never", opentelemetry=True) as active:
        with (
            Server(user_service(Shop(theirs))).start() as server,
            UserServiceClient.connect(server.address, framing="header") as client,
        ):
            client.get(1)
            with observe.span("outer"), theirs.tracer.start_as_current_span("inner") as inner:
                assert observe.trace_id() == f"{inner.get_span_context().trace_id:032x}"
                assert not inner.is_recording()
        assert (active.store.recent(), theirs.count) == ([], 0)


def test_spans_nest_in_any_order(tracing: ActiveTracing, theirs: Theirs) -> None:
    with (
        observe.span("a"),
        theirs.tracer.start_as_current_span("b"),
        observe.span("c"),
        theirs.tracer.start_as_current_span("d"),
    ):
        pass
    assert not get_current_span().get_span_context().is_valid
    a, c = ours(tracing, "a", "internal"), ours(tracing, "c", "internal")
    b, d = ids(theirs.named("b")), ids(theirs.named("d"))
    assert (a.parent_id, b[2], c.parent_id, d[2]) == ("", a.span_id, b[1], c.span_id)
    assert {a.trace_id, b[0], c.trace_id, d[0]} == {a.trace_id}
    # Segments of SkyWalking do not have the spans of the SDK, but are complete.
    [segment] = Segments("test").add([c, a], 0.0, "1@host")
    assert segment.count(b'"spanId"') == 2


def test_another_trace_inside_is_another_trace(tracing: ActiveTracing, theirs: Theirs) -> None:
    with (
        observe.span("outer"),
        theirs.tracer.start_as_current_span("root", context=context.Context()) as root,
        observe.span("inner"),
    ):
        assert observe.trace_id() == f"{root.get_span_context().trace_id:032x}"
    assert ours(tracing, "inner", "internal").parent_id == ids(theirs.named("root"))[1]
    assert ours(tracing, "outer", "internal").trace_id != ids(theirs.named("root"))[0]


def test_baggage_is_exchanged(theirs: Theirs) -> None:
    shop = Shop(theirs)
    with (
        Server(user_service(shop)).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        token = context.attach(baggage.set_baggage("channel", "app é"))
        try:
            client.get(1)
            with observe.span("order"):
                observe.put("order", "7")
                inner = context.attach(baggage.set_baggage("channel", "web"))
                client.get(2)
                context.detach(inner)
        finally:
            context.detach(token)
    (_, first_tags, first), (_, second_tags, second) = shop.seen
    assert (first_tags, first) == ({}, {"channel": "app é"})
    assert second_tags == {"order": "7"}
    assert (second["channel"], second["order"]) == ("web", "7")


def test_a_server_that_starts_in_a_span_does_not_continue_it(tracing: ActiveTracing, theirs: Theirs) -> None:
    shop = Shop(theirs)
    with theirs.tracer.start_as_current_span("start"):
        server = Server(user_service(shop)).start()
    with server, UserServiceClient.connect(server.address, framing="header") as client:
        client.get(1)
    eventually(lambda: theirs.count == 2)
    assert ids(theirs.named("start"))[0] != ids(theirs.named("look up 1"))[0] == shop.seen[0][0]


def test_untraced_methods_have_no_span(theirs: Theirs) -> None:
    TRACING.use(None)
    seen: list[bool] = []

    class Handler(Users):
        def get(self, id: int) -> User:
            seen.append(get_current_span().get_span_context().is_valid)
            return super().get(id)

    with observe.trace("test", sampler="always", opentelemetry=True, untraced=["UserService.get"]):
        with theirs.tracer.start_as_current_span("start"):
            server = Server(user_service(Handler())).start()
        with server, UserServiceClient.connect(server.address, framing="header") as client:
            client.get(1)
    assert seen == [False]


def test_our_span_behaves_as_one_of_theirs(tracing: ActiveTracing, theirs: Theirs) -> None:
    with theirs.tracer.start_as_current_span("other") as other:
        pass
    with observe.span("old"):
        span = get_current_span()
        assert span.is_recording()
        span.set_attribute("a", 1)
        span.set_attributes({"b": "x", "c": [1, 2]})  # a list becomes text
        span.add_event("tick", {"n": 1})
        span.add_link(other.get_span_context())
        span.add_link(SpanContext(0, 0, False))
        span.record_exception(ValueError("bad"), {"more": True})
        span.set_status(StatusCode.OK)
        span.set_status(Status(StatusCode.ERROR, "went wrong"))
        span.update_name("new")
        span.end()
        assert span.is_recording()
    assert not span.is_recording()
    span.set_attribute("late", 1)
    found = ours(tracing, "new", "internal")
    assert {name: found.attributes[name] for name in "abc"} == {"a": 1, "b": "x", "c": "[1, 2]"}
    assert [(each.name, dict(each.attributes)) for each in found.events] == [
        ("tick", {"n": 1}),
        ("exception", {"exception.type": "ValueError", "exception.message": "bad", "more": True}),
    ]
    assert [(each.trace_id, each.span_id) for each in found.links] == [ids(theirs.named("other"))[:2]]
    assert (found.status, found.message) == ("error", "went wrong")
    assert "late" not in found.attributes


def test_spans_of_calls_keep_their_names(tracing: ActiveTracing) -> None:
    class Handler(Users):
        def get(self, id: int) -> User:
            get_current_span().update_name("x")
            return super().get(id)

    with (
        Server(user_service(Handler())).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        client.get(1)
    assert ours(tracing, "UserService.get", "server").kind == "server"


def test_a_generator_that_another_task_closes(caplog: pytest.LogCaptureFixture, tracing: ActiveTracing) -> None:
    with caplog.at_level(logging.ERROR):
        asyncio.run(close_elsewhere())
    assert caplog.records == []
    assert not get_current_span().get_span_context().is_valid
    assert ours(tracing, "numbers", "internal").parent_id == ""


async def close_elsewhere() -> None:
    async def numbers() -> AsyncIterator[int]:
        with observe.span("numbers"):
            yield 1
            yield 2

    generator = numbers()
    await asyncio.create_task(anext(generator))  # type: ignore[arg-type]
    await generator.aclose()  # type: ignore[attr-defined]


def test_carried_into_a_pool(theirs: Theirs) -> None:
    def work() -> str:
        with theirs.tracer.start_as_current_span("work"):
            return observe.trace_id()

    with ThreadPoolExecutor() as pool, observe.span("order"):
        assert pool.submit(observe.carry(work)).result() == observe.trace_id()


def test_thresholds_and_state_pass_through(theirs: Theirs) -> None:
    TRACING.use(None)
    headers: list[dict[str, str]] = []
    with (
        observe.trace("test", sampler="always", opentelemetry=True),
        observe.span("outer"),
        theirs.tracer.start_as_current_span("inner") as inner,
    ):
        headers.append(observe.trace_headers())
        assert inner.get_span_context().trace_state.to_header() == "ot=th:0"
    assert headers[0]["tracestate"] == "ot=th:0"
    assert headers[0]["traceparent"][36:52] == ids(theirs.named("inner"))[1]


_PROGRAM = """
import sys
from opentelemetry import trace
from idlrt import observe
from idlrt.server import Server
from hand_written import Users, user_service
if "provider" in sys.argv:
    from opentelemetry.sdk.trace import TracerProvider
    if "before" in sys.argv:
        trace.set_tracer_provider(TracerProvider())
observed = observe.trace("test", sampler="always", opentelemetry=False if "off" in sys.argv else None)
if "provider" in sys.argv and "before" not in sys.argv:
    trace.set_tracer_provider(TracerProvider())
with Server(user_service(Users())).start(): pass
with observe.span("order"):
    print(trace.get_current_span().get_span_context().is_valid)
observed.close()
with observe.span("order"):
    print(trace.get_current_span().get_span_context().is_valid)
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "False"),
        (["provider", "before"], "True"),
        (["provider"], "True"),
        (["provider", "before", "off"], "False"),
    ],
)
def test_the_context_is_joined_if_the_program_has_a_provider(arguments: list[str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == ([expected, "False"], "")


def test_links_of_the_sdk_to_our_spans(theirs: Theirs) -> None:
    with observe.span("order"):
        link = Link(get_current_span().get_span_context())
        with theirs.tracer.start_as_current_span("later", context=context.Context(), links=[link]):
            expected = link.context.trace_id
    [found] = theirs.named("later").links
    assert found.context.trace_id == expected
