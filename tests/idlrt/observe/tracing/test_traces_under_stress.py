"""Tags that come while calls run, samplers that change, strangers, odd values: no call breaks, and spans stay right."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from admin_requests import request
from eventually import eventually
from hand_written import AsyncUsers, AsyncUserServiceClient, User, Users, UserServiceClient, user_service
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import get_current_span

from idlrt import observe
from idlrt.core import Call, CallNext, Deadline, Peer, RequestContext, ServerCall
from idlrt.core.driver import BlockingDriver
from idlrt.errors import ApplicationError, ConfigurationError
from idlrt.observe.tracing.sampling import Always, Never, ParentBased, Ratio, Sampler, read_rules
from idlrt.observe.tracing.setup import ActiveTracing
from idlrt.observe.tracing.span_pages import decode_page
from idlrt.observe.tracing.switch import TRACING
from idlrt.observe.tracing.tracer import Tracer
from idlrt.server import ProcessServer, Server

USER_42 = read_rules([{"tags": {"user": "42"}, "force": True}])
GET: Any = UserServiceClient.__thrift_service__.methods["get"]


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    TRACING.use(None)


def kinds(active: ActiveTracing) -> list[tuple[str, str]]:
    return sorted((each.kind, each.name) for each in active.store.recent())


def test_a_tag_that_comes_while_a_client_call_runs_leaves_the_span_of_the_handler_alone() -> None:
    class Handler(AsyncUsers):
        target = ""

        async def get(self, id: int) -> User:
            async with AsyncUserServiceClient.connect(self.target, framing="header") as inner:
                running = asyncio.create_task(inner.get(id))
                while not released.is_set():
                    await asyncio.sleep(0)
                observe.put("user", "42")
                held.set()
                return await running

    released, held = threading.Event(), threading.Event()

    class Behind(Users):
        def get(self, id: int) -> User:
            released.set()
            assert held.wait(60)
            return super().get(id)

    with (
        observe.trace("test", sampler="never", rules=USER_42) as active,
        Server(user_service(Behind()), workers=1).start() as behind,
        Server(user_service(Handler())).start() as server,
        UserServiceClient.connect(server.address, framing="header", timeout=60.0) as client,
    ):
        Handler.target = behind.address
        client.get(1)
        eventually(lambda: len(active.store.recent()) == 1)
    [span] = active.store.recent()
    assert (span.kind, span.status) == ("server", "unset")
    assert "server.address" not in span.attributes
    assert span.attributes["rpc.server.handler_s"] <= span.duration / 1e9  # type: ignore[operator]


def test_a_tag_that_a_client_filter_sets() -> None:
    class Tagging:
        async def __call__(self, call: Any, next: CallNext) -> Any:
            observe.put("user", "42")
            return await next(call)

    class Failing(Users):
        def get(self, id: int) -> User:
            raise ValueError("no")

    class Handler(Users):
        inner: Any = None

        def get(self, id: int) -> User:
            with pytest.raises(ApplicationError):
                self.inner.get(id)
            return User(id=id, name="fine")

    with (
        observe.trace("test", sampler="never", rules=USER_42) as active,
        Server(user_service(Failing())).start() as behind,
        UserServiceClient.connect(behind.address, framing="header", filters=[Tagging()]) as Handler.inner,
        Server(user_service(Handler())).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        assert client.get(1).name == "fine"
        eventually(lambda: any(each.kind == "server" and each.status == "unset" for each in active.store.recent()))
    [span] = [
        each for each in active.store.recent() if not each.is_late and each.kind == "server" and not each.parent_id
    ]
    assert (span.status, span.attributes["rpc.response.status_code"]) == ("unset", "ok")
    assert "server.address" not in span.attributes


@pytest.mark.parametrize("metadata", [{}, {"x": "1"}])
def test_the_name_of_a_stranger_forces_nothing(metadata: dict[str, str]) -> None:
    rules = read_rules([{"caller": "vip", "ratio": 1}, {"caller": "vip", "tags": {"user": "42"}, "force": True}])

    class Handler(Users):
        def get(self, id: int) -> User:
            observe.put("user", str(id))
            return super().get(1)

    for trusted, expected in ((["192.0.2.1/32"], []), (None, [("server", "UserService.get")])):
        with (
            observe.trace("test", sampler="never", rules=rules, trusted=trusted) as active,
            Server(user_service(Handler())).start() as server,
            UserServiceClient.connect(
                server.address, framing="header", config={"caller": {"app": "vip"}}, filters=[Untraced()]
            ) as client,
        ):
            client.using(metadata=metadata).get(42)
            if expected:
                await_spans(active, 1)
            assert [each for each in kinds(active) if each[0] == "server"] == expected


def await_spans(active: ActiveTracing, number: int) -> None:
    eventually(lambda: len(active.store.recent()) == number)


class Untraced:
    """Filter that sends no trace."""

    async def __call__(self, call: Any, next: CallNext) -> Any:
        call.trace = None
        return await next(call)


def test_samplers_may_change_at_any_time() -> None:
    samplers: list[Sampler] = [ParentBased(Never()), ParentBased(Ratio(0.5)), ParentBased(Always())]
    made = Tracer("test", samplers[0], lambda span: None, reads=("w3c",), writes=("w3c",))
    is_over = threading.Event()

    def change() -> None:
        while not is_over.is_set():
            for each in samplers:
                made.sample_with(each, None)

    thread = threading.Thread(target=change)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(5000):
            call = Call(GET, (1,), "x", Deadline(0.0, 1.0), BlockingDriver())
            made.begin_client(call, None, 1.0)
            served = ServerCall(
                GET, (1,), Peer(address="a:1"), {}, Deadline(0.0, 1.0), BlockingDriver(), RequestContext(), 1.0
            )
            made.begin_server(served)
            assert call.trace is not None
            assert served.trace is not None
    finally:
        is_over.set()
        sys.setswitchinterval(before)
        thread.join()


def test_a_span_that_is_open_while_tracing_closes_is_not_current_any_more() -> None:
    tracer = TracerProvider().get_tracer("test")
    active = observe.trace("test", sampler="always", opentelemetry=True)
    with observe.span("open"):
        active.close()
    assert not get_current_span().get_span_context().is_valid
    with tracer.start_as_current_span("later") as later:
        assert later.parent is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", [f"00-{'0' * 32}-{'1' * 16}-00", f"ff-{'1' * 32}-{'1' * 16}-00", "x" * 54 + "0"])
def test_a_broken_header_begins_a_new_trace(text: str) -> None:
    made = Tracer("test", ParentBased(Always()), lambda span: None, reads=("w3c",), writes=("w3c",))
    for _ in range(2):
        context = RequestContext(trace=text)
        call = ServerCall(GET, (1,), Peer(address="a:1"), {}, Deadline(0.0, 1.0), BlockingDriver(), context, 1.0)
        made.begin_server(call)
        assert call.trace.span is not None
        assert call.trace.span.parent_id == ""


def test_tags_in_a_span_of_the_sdk() -> None:
    tracer = TracerProvider().get_tracer("test")
    with observe.trace("test", sampler="always", opentelemetry=True):
        with tracer.start_as_current_span("page"):
            observe.put("user", "42")
            assert dict(observe.tags()) == {"user": "42"}
            with tracer.start_as_current_span("part"):
                assert dict(observe.tags()) == {"user": "42"}
                assert "user=42" in observe.trace_headers()["baggage"]
        with tracer.start_as_current_span("other"):
            assert dict(observe.tags()) == {}


def inside() -> None:
    with observe.span("inner"):
        pass


def test_a_trace_that_is_forced_inside_of_a_span_of_the_sdk() -> None:
    tracer = TracerProvider().get_tracer("test")
    with (
        observe.trace("test", sampler="never", rules=USER_42, opentelemetry=True) as active,
        observe.span("outer"),
        tracer.start_as_current_span("theirs"),
    ):
        observe.put("user", "42")
        inside()
    outer, inner = sorted(active.store.recent(), key=lambda each: each.started_at)
    assert (outer.name, inner.name, inner.parent_id) == ("outer", "inner", outer.span_id)


def test_an_internal_root_has_a_name_for_rules() -> None:
    rules = read_rules([{"method": "nightly", "tags": {"user": "42"}, "force": True}])
    with observe.trace("test", sampler="never", rules=rules) as active:
        for name in ("hourly", "nightly"):
            with observe.span(name), observe.span("step"):
                observe.put("user", "42")
    assert kinds(active) == [("internal", "nightly"), ("internal", "step")]


def test_opentelemetry_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="cannot join the context of OpenTelemetry: it is not installed"):
        observe.trace("test", opentelemetry=True)
    monkeypatch.undo()
    observe.trace("test").close()


class Number(float):
    """As `numpy.float64` is."""


class Odd(Users):
    """`get` records what exporters cannot send as it is."""

    def get(self, id: int) -> User:
        with observe.span("odd", {"number": Number(1.5), "huge": 1 << 70, "flag": True}) as span:
            span.add_event(404)  # type: ignore[arg-type]
            span.add_event("\ud800")
        return User(id=id, name=str(os.getpid()))


@pytest.mark.slow
def test_odd_values_reach_the_supervisor_of_processes() -> None:
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with (
            observe.trace("users", sampler="always"),
            ProcessServer(user_service(Odd()), processes=1, admin="127.0.0.1:0").start() as server,
        ):
            with UserServiceClient.connect(server.address, framing="header") as client:
                for _ in range(3):
                    client.get(1)

            def found() -> list[Any]:
                page = decode_page(request(server, "/rpcz?format=json&limit=1000").text.encode())
                return [each for each in page.spans if each.kind == "server"]

            eventually(lambda: len(found()) == 3)
            trace = decode_page(request(server, f"/rpcz/{found()[0].trace_id}?format=json").text.encode())
            [odd] = [each for each in trace.spans if each.name == "odd"]
            assert dict(odd.attributes) == {"number": 1.5, "huge": str(1 << 70), "flag": True}
            assert [each.name for each in odd.events] == ["404", "?"]
    finally:
        for each in many:
            os.close(each)
