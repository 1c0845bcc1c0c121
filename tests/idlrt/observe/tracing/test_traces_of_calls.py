"""Traces of calls: one tree over clients, attempts, servers and nested calls, with times that fit into each other."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from eventually import eventually
from free_ports import free_port
from hand_written import AsyncUsers, AsyncUserServiceClient, NotFound, User, Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.client import client_stats
from idlrt.core import request_metadata
from idlrt.errors import ApplicationError, Overloaded
from idlrt.observe.tracing.propagation import FORMATS
from idlrt.observe.tracing.sampling import Always, Never
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.switch import TRACING
from idlrt.observe.tracing.trace import current_trace
from idlrt.observe.tracing.tracer import Tracer
from idlrt.server import Server


class Spans:
    """Spans that have ended."""

    def __init__(self) -> None:
        self.all: list[FinishedSpan] = []

    def of(self, name: str, kind: str = "") -> list[FinishedSpan]:
        return [each for each in self.all if each.name == name and kind in ("", each.kind)]

    def tree(self) -> dict[str, Any]:
        """Return the names of spans by kind, nested by parents."""
        known = {each.span_id for each in self.all}

        def below(parent: str) -> dict[str, Any]:
            found = sorted((each for each in self.all if each.parent_id == parent), key=lambda each: each.started_at)
            return {f"{each.kind} {each.name} {number}": below(each.span_id) for number, each in enumerate(found)}

        roots = sorted({each.parent_id for each in self.all if each.parent_id not in known})
        return {name: children for root in roots for name, children in below(root).items()}


@pytest.fixture
def spans() -> Iterator[Spans]:
    found = Spans()
    before = TRACING.use(Tracer("test", Always(), found.all.append, reads=("w3c",), writes=("w3c",)))
    yield found
    TRACING.use(before)


@contextmanager
def serving(handler: Any, **options: Any) -> Iterator[UserServiceClient]:
    """Serve a handler, and yield a client of it."""
    server = Server(user_service(handler), **options).start()
    with server, UserServiceClient.connect(server.address, framing="header", policy={"retries": 0}) as client:
        yield client


def nested(parent: FinishedSpan, child: FinishedSpan) -> bool:
    """Whether a child is within its parent, up to the resolution of clocks."""
    slack = 5_000_000
    ends = parent.started_at + parent.duration, child.started_at + child.duration
    return child.started_at >= parent.started_at - slack and ends[1] <= ends[0] + slack


def test_a_call_is_a_client_span_and_a_server_span(spans: Spans) -> None:
    with Server(user_service(Users())).start() as server:
        client = UserServiceClient.connect(server.address, framing="header", config={"caller": {"app": "web"}})
        with client:
            client.get(1)
    eventually(lambda: len(spans.all) == 2)
    [called] = spans.of("UserService.get", "client")
    [served] = spans.of("UserService.get", "server")
    assert (called.parent_id, served.parent_id) == ("", called.span_id)
    assert served.trace_id == called.trace_id
    assert served.is_remote_parent
    assert not called.is_remote_parent
    assert nested(called, served)
    assert called.attributes["rpc.response.status_code"] == served.attributes["rpc.response.status_code"] == "ok"
    assert called.attributes["server.address"] == server.address.removeprefix("tcp://")
    assert served.attributes["rpc.caller"] == "web"
    for each in (called, served):
        # As in metrics.
        assert (each.attributes["rpc.system.name"], each.attributes["rpc.method"]) == ("thrift", "UserService/get")
    handler, serialization = served.attributes["rpc.server.handler_s"], served.attributes["rpc.server.serialization_s"]
    assert isinstance(handler, float)
    assert isinstance(serialization, float)
    assert 0 <= handler + serialization <= served.duration / 1e9 + 1e-6


class Chain(Users):
    """`get` calls the next server, if there is one."""

    def __init__(self, next: UserServiceClient | None) -> None:
        super().__init__()
        self.next = next

    def get(self, id: int) -> Any:
        if id == 404:
            raise NotFound(id=id)
        return self.next.get(id - 1) if self.next is not None and id else User(id=id, name=observe.trace_id())


@pytest.mark.parametrize(
    "options", [{}, {"workers": 2}, {"filters": ["passing"]}], ids=["plain", "workers", "filtered"]
)
def test_nested_calls_are_one_trace(spans: Spans, options: dict[str, Any]) -> None:
    async def passing(call: Any, next: Any) -> Any:
        return await next(call)

    if "filters" in options:
        options = {"filters": [passing]}
    with serving(Chain(None), **options) as to_last, serving(Chain(to_last), **options) as client:
        found = client.get(1)
    eventually(lambda: len(spans.all) == 4)
    assert {each.trace_id for each in spans.all} == {found.name}
    name = "UserService.get"
    assert spans.tree() == {f"client {name} 0": {f"server {name} 0": {f"client {name} 0": {f"server {name} 0": {}}}}}


class AsyncChain(AsyncUsers):
    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target

    async def get(self, id: int) -> User | None:
        async with AsyncUserServiceClient.connect(self._target, framing="header") as client:
            # Tasks continue the trace.
            found = await asyncio.gather(*(asyncio.create_task(client.get(number)) for number in range(1, 3)))
        return found[0]


def test_tasks_of_async_handlers_continue_the_trace(spans: Spans) -> None:
    with Server(user_service(Users())).start() as last, serving(AsyncChain(last.address)) as client:
        client.get(1)
    eventually(lambda: len(spans.all) == 6)
    assert len({each.trace_id for each in spans.all}) == 1
    name = "UserService.get"
    inner: dict[str, Any] = {f"client {name} {number}": {f"server {name} 0": {}} for number in range(2)}
    assert spans.tree() == {f"client {name} 0": {f"server {name} 0": inner}}


def test_attempts_are_children_of_the_call_with_decisions_as_events(spans: Spans) -> None:
    with Server(user_service(Users())).start() as server:
        target = f"{server.address},127.0.0.1:{free_port()}"
        with UserServiceClient.connect(target, framing="header", heartbeat=None) as client:
            while not any(each.status == "error" for each in spans.all):
                client.get(1)
    [failed] = [each for each in spans.all if each.status == "error"]
    eventually(lambda: len([each for each in spans.all if each.trace_id == failed.trace_id]) == 4)
    trace = [each for each in spans.all if each.trace_id == failed.trace_id]
    [whole] = [each for each in trace if not each.parent_id]
    attempts = [each for each in trace if each.parent_id == whole.span_id]
    assert sorted((str(each.attributes["rpc.attempt.kind"]), each.status) for each in attempts) == [
        ("first", "error"),
        ("retry", "unset"),
    ]
    [retry] = [each for each in attempts if each.status == "unset"]
    assert retry.attributes["rpc.attempt"] == 1
    assert "Retrying" in [each.name for each in whole.events]
    assert failed.attributes["error.type"] == "ConnectFailed"
    assert all(nested(whole, each) for each in attempts)


def test_errors_and_declared_exceptions_have_their_status(spans: Spans) -> None:
    with serving(Users()) as client:
        with pytest.raises(NotFound):
            client.get(-1)
        with pytest.raises(ApplicationError):
            client.get(0)
    eventually(lambda: len(spans.all) == 4)
    found = {
        (each.kind, str(each.attributes["rpc.response.status_code"])): (each.status, each.attributes["error.type"])
        for each in spans.all
    }
    assert found == {
        ("client", "declared_error"): ("unset", "NotFound"),
        ("server", "declared_error"): ("unset", "NotFound"),
        ("client", "internal"): ("error", "ApplicationError"),
        ("server", "internal"): ("error", "ValueError"),
    }
    assert "secret" not in "".join(each.message for each in spans.of("UserService.get", "client"))


def test_rejections_of_guards_are_events(spans: Spans) -> None:
    with serving(Users(), guards={"limiter": {"rate": 1, "burst": 1}}) as client:
        client.get(1)
        with pytest.raises(Overloaded):
            client.get(1)
    eventually(lambda: len(spans.all) == 4)
    [rejected] = [each for each in spans.of("UserService.get", "server") if each.status == "error"]
    assert [(each.name, each.attributes["reason"]) for each in rejected.events] == [("Rejected", "rate")]


def test_internal_spans_are_between_the_handler_and_its_calls(spans: Spans) -> None:
    class Handler(Chain):
        def get(self, id: int) -> Any:
            with observe.span("price", {"currency": "EUR"}) as span:
                span.add_event("cache missed")
                return super().get(id)

    with serving(Chain(None)) as to_last, serving(Handler(to_last)) as client:
        client.get(1)
    eventually(lambda: len(spans.all) == 5)
    name = "UserService.get"
    assert spans.tree() == {
        f"client {name} 0": {f"server {name} 0": {"internal price 0": {f"client {name} 0": {f"server {name} 0": {}}}}}
    }
    [price] = spans.of("price")
    assert price.attributes == {"currency": "EUR"}
    assert [each.name for each in price.events] == ["cache missed"]


@pytest.mark.parametrize("format", list(FORMATS))
@pytest.mark.parametrize("protocol", ["thrift", "http", "jsonrpc"])
def test_every_format_travels_over_every_protocol(protocol: str, format: str) -> None:
    found = Spans()
    before = TRACING.use(Tracer("test", Always(), found.all.append, reads=(format,), writes=(format,)))
    try:
        with Server(user_service(Users()), http=True).start() as server:
            options: Any = {"framing": "header"} if protocol == "thrift" else {}
            target = server.address if protocol == "thrift" else server.address.replace("tcp", protocol)
            with UserServiceClient.connect(target, **options) as client, observe.span("shop"):
                observe.put("user", "42")
                client.get(1)
        eventually(lambda: len(found.all) == 3)
    finally:
        TRACING.use(before)
    [called] = found.of("UserService.get", "client")
    [served] = found.of("UserService.get", "server")
    assert served.trace_id == called.trace_id
    assert served.attributes["tag.user"] == "42"
    # SkyWalking names segments, not spans.
    assert format == "sw8" or served.parent_id == called.span_id


def test_framings_without_metadata_leave_the_trace_out_and_count_it(spans: Spans) -> None:
    with Server(user_service(Users())).start() as server, UserServiceClient.connect(server.address) as client:
        client.get(1)
        eventually(lambda: len(spans.all) == 2)
        assert client_stats(client).left_out["trace"] == 1
    assert len({each.trace_id for each in spans.all}) == 2


def in_pool(function: Callable[[], str]) -> str:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_other_threads_have_the_trace_that_is_carried() -> None:
    before = TRACING.use(Tracer("test", Always(), lambda span: None, reads=("w3c",), writes=("w3c",)))
    try:
        with observe.span("work"):
            here = observe.trace_id()
            assert here
            assert in_pool(observe.trace_id) == ""
            assert in_pool(observe.carry(observe.trace_id)) == here
            with observe.CarryingExecutor(2) as pool:
                assert {each.result() for each in [pool.submit(observe.trace_id) for _ in range(5)]} == {here}
        assert current_trace() is None
    finally:
        TRACING.use(before)


def test_tags_travel_down_the_chain_and_those_for_one_hop_do_not(spans: Spans) -> None:
    seen: list[dict[str, str]] = []

    class Handler(Chain):
        def get(self, id: int) -> Any:
            seen.append(dict(observe.tags()))
            return super().get(id)

    with serving(Handler(None)) as to_last, serving(Handler(to_last)) as client, observe.span("shop"):
        observe.put("user", "42")
        observe.put_once("channel", "app")
        client.get(1)
    assert seen == [{"user": "42", "channel": "app"}, {"user": "42"}]
    eventually(lambda: len(spans.all) == 5)
    assert all(each.attributes["tag.user"] == "42" for each in spans.of("UserService.get", "server"))


def test_calls_that_are_not_sampled_record_nothing_but_failures() -> None:
    found = Spans()
    before = TRACING.use(Tracer("test", Never(), found.all.append, reads=("w3c",), writes=("w3c",)))
    ids: list[str] = []

    class Handler(Users):
        def get(self, id: int) -> Any:
            ids.append(observe.trace_id())
            return super().get(id)

    try:
        with serving(Handler()) as client:
            for _ in range(20):
                client.get(1)
            assert found.all == []
            with pytest.raises(ApplicationError):
                client.get(0)
        eventually(lambda: len(found.all) == 2)
        assert len(set(ids)) == 21
        assert all(ids)
        assert all(each.is_late for each in found.all)
        assert {each.trace_id for each in found.all} == {ids[-1]}
    finally:
        TRACING.use(before)


def test_clients_follow_the_switch(spans: Spans) -> None:
    with Server(user_service(Users())).start() as server, UserServiceClient.connect(server.address) as client:
        client.get(1)
        assert len(spans.of("UserService.get", "client")) == 1
        before = TRACING.use(None)
        client.get(1)
        assert len(spans.of("UserService.get", "client")) == 1
        TRACING.use(before)
        client.get(1)
        assert len(spans.of("UserService.get", "client")) == 2


def test_threads_do_not_mix_traces(spans: Spans) -> None:
    with serving(Users(), workers=4) as client:

        def work() -> None:
            for _ in range(20):
                client.get(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    eventually(lambda: len(spans.all) == 160)
    by_trace: dict[str, list[FinishedSpan]] = {}
    for span in spans.all:
        by_trace.setdefault(span.trace_id, []).append(span)
    assert len(by_trace) == 80
    assert all(sorted(each.kind for each in found) == ["client", "server"] for found in by_trace.values())


def test_calls_have_numbers_in_eagleeye() -> None:
    seen: list[str] = []

    class Numbered(Chain):
        def get(self, id: int) -> Any:
            seen.append(request_metadata()["eagleeye-rpcid"])
            if self.next is not None:
                self.next.get(0)
            return super().get(id)

    tracer = Tracer("test", Always(), lambda span: None, reads=("eagleeye",), writes=("eagleeye",))
    before = TRACING.use(tracer)
    try:
        with serving(Numbered(None)) as last, serving(Numbered(last)) as client, observe.span("request"):
            client.get(1)
            client.get(1)
    finally:
        TRACING.use(before)
    assert seen == ["0.1", "0.1.1", "0.1.2", "0.2", "0.2.1", "0.2.2"]


def test_baggage_of_jaeger_over_http() -> None:
    seen: list[dict[str, str]] = []

    class Baggage(Users):
        def get(self, id: int) -> User:
            trace = current_trace()
            seen.append(dict(trace.baggage) if trace is not None else {})
            return User(id=id, name="")

    headers = {"uber-trace-id": f"{'a' * 32}:{'b' * 16}:0:1", "uberctx-channel": "app%20%C3%A9"}
    tracer = Tracer("test", Always(), lambda span: None, reads=("jaeger",), writes=("jaeger",))
    before = TRACING.use(tracer)
    try:
        with Server(user_service(Baggage()), http=True).start() as server:
            body = json.dumps({"id": 1}).encode()
            url = f"http://{server.address.removeprefix('tcp://')}/UserService/get"
            request = urllib.request.Request(url, body, {"content-type": "application/json", **headers})
            with urllib.request.urlopen(request, timeout=60):
                pass
            with UserServiceClient.connect(url.removesuffix("/UserService/get")) as client, observe.span("request"):
                observe.put("user", "42")
                client.get(1)
    finally:
        TRACING.use(before)
    assert seen == [{"channel": "app é"}, {"user": "42"}]
