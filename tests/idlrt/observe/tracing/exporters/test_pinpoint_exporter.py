"""Calls as Pinpoint's own agent records them: nesting, concurrency, headers, errors, and what becomes of failures.

The agent is a real one, and sends to a recording collector.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from finished_spans import root_span
from free_ports import free_port
from hand_written import AsyncUsers, AsyncUserServiceClient, User, Users, UserServiceClient, user_service
from measured import grown, process_counts
from pinpoint_calls import (
    ASYNC,
    CALL,
    CLIENT,
    HANDLER,
    PART,
    PROGRAM,
    SERVER,
    chain,
    current_agent,
    tracing,
)  # fmt: skip
from pinpoint_collector import Collector

from idlrt import observe
from idlrt.core.request import request_metadata
from idlrt.errors import ConfigurationError, Deferred, RpcError
from idlrt.observe.tracing.exporters import PinpointExporter
from idlrt.observe.tracing.exporters.pinpoint_places import Place
from idlrt.observe.tracing.sampling import SamplingRule
from idlrt.server import AsyncServer, Server

pytestmark = pytest.mark.slow

SPANS = "rpc_trace_spans_total"
# Both attempts run at the same time, if the first one takes long.
HEDGING: Any = {"fault": "hedge", "hedge": {"delay": 0.01, "max_extra_load": 1}}


def test_a_call_is_an_event_of_the_client_and_a_span_of_the_server(collector: Collector) -> None:
    with tracing(), chain(lambda inner: Users()) as (client, address), observe.span("buy"):
        trace_id = observe.trace_id()
        client.get(1)
    program, server = collector.wait(2, trace_id)
    assert (program.name, program.rpc, program.service_type, program.parent_id) == ("Program", "buy", PROGRAM, -1)
    assert program.tree() == [f"buy {PART}", f"  UserService.get {CLIENT}"]
    [call] = program.calls()
    assert (call.destination, call.end_point) == (address, address)
    assert call.next_span_id == server.span_id
    assert server.parent_id == program.span_id
    assert server.transaction == program.transaction
    assert (server.name, server.rpc, server.service_type) == ("Thrift Server", "UserService.get", SERVER)
    assert (server.parent, server.acceptor, server.end_point) == ("shop", address, address)
    assert server.remote == "127.0.0.1"
    assert server.tree() == [f"UserService.get {HANDLER}"]
    assert not program.is_failed
    assert not server.is_failed


def test_calls_over_a_unix_socket(collector: Collector, tmp_path: Path) -> None:
    with (
        tracing(),
        Server(user_service(Users()), f"unix://{tmp_path}/users").start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
        observe.span("buy"),
    ):
        trace_id = observe.trace_id()
        client.ping()
    program, called = collector.wait(2, trace_id)
    assert program.tree() == [f"buy {PART}", f"  UserService.ping {CLIENT}"]
    assert (called.parent_id, called.remote) == (program.span_id, "unix")
    assert called.acceptor == called.end_point == program.calls()[0].destination == server.address


def test_calls_of_a_handler_nest_in_their_order(collector: Collector) -> None:
    class Handler(Users):
        def __init__(self, inner: UserServiceClient) -> None:
            super().__init__()
            self.inner = inner

        def get(self, id: int) -> User:
            with observe.span("look up"):
                found = self.inner.get(id)
            self.inner.ping()
            return found

    with tracing(), chain(Handler) as (client, _), observe.span("buy"):
        trace_id = observe.trace_id()
        client.get(1)
    _, server, *last = collector.wait(4, trace_id)
    assert server.tree() == [
        f"UserService.get {HANDLER}",
        f"  look up {PART}",
        f"    UserService.get {CLIENT}",
        f"  UserService.ping {CLIENT}",
    ]
    assert [each.rpc for each in last] == ["UserService.get", "UserService.ping"]
    assert {each.parent_id for each in last} == {server.span_id}
    assert [each.span_id for each in last] == [each.next_span_id for each in server.calls()]


def test_concurrent_calls_of_an_async_handler_are_beside_each_other(collector: Collector) -> None:
    class Handler(AsyncUsers):
        def __init__(self, target: str) -> None:
            super().__init__()
            self.target = target

        async def get(self, id: int) -> User:
            async with AsyncUserServiceClient.connect(self.target, framing="header") as inner:
                await asyncio.gather(inner.ping(), inner.join(["a"]))
                return await inner.get(id)

    async def main() -> str:
        with Server(user_service(Users())).start() as last:
            async with (
                AsyncServer(user_service(Handler(last.address))) as server,
                AsyncUserServiceClient.connect(server.address, framing="header") as client,
                observe.span("buy"),
            ):
                await client.get(1)
                return observe.trace_id()

    with tracing():
        trace_id = asyncio.run(main())
    _, server, *last = collector.wait(5, trace_id)
    assert set(server.outer_events()) == {
        ("UserService.get", HANDLER, ""),
        ("UserService.get", CLIENT, "UserService.get"),
        ("UserService.join", CLIENT, "UserService.get"),
        ("UserService.ping", CLIENT, "UserService.get"),
    }
    assert sorted(each.span_id for each in last) == sorted(each.next_span_id for each in server.calls())


def test_threads_that_carry_the_context_are_beside_each_other(collector: Collector) -> None:
    both = threading.Barrier(2)

    def work(client: UserServiceClient) -> None:
        with observe.span("part"):
            both.wait(TIMEOUT)
            client.ping()

    with (
        tracing(),
        chain(lambda inner: Users()) as (client, _),
        observe.CarryingExecutor(2) as pool,
        observe.span("order"),
    ):
        trace_id = observe.trace_id()
        for each in [pool.submit(work, client) for _ in range(2)]:
            each.result(TIMEOUT)
        client.get(1)
    program, *_ = collector.wait(4, trace_id)
    beside = [f"  ~ part {ASYNC}", f"  ~   part {PART}", f"  ~     UserService.ping {CLIENT}"]
    assert program.tree() == [f"order {PART}", *beside, *beside, f"  UserService.get {CLIENT}"]


def test_what_carries_an_outer_context_is_not_below_the_part_that_runs_it(collector: Collector) -> None:
    def work() -> None:
        with observe.span("carried"):
            pass

    with tracing(), observe.span("order"):
        trace_id = observe.trace_id()
        carried = observe.carry(work)
        with observe.span("inner"):
            carried()
    [program] = collector.wait(1, trace_id)
    assert program.outer_events() == [("order", PART, ""), ("inner", PART, "order"), ("carried", PART, "order")]


class Meeting(Users):
    """`wait` ends when it runs twice at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.both = threading.Barrier(2)

    def wait(self, id: int) -> int:
        self.both.wait(TIMEOUT)
        return id


def test_a_hedge_is_beside_the_attempt_that_it_overtakes(collector: Collector) -> None:
    handler = user_service(Meeting())
    with tracing(), Server(handler).start() as first, Server(handler).start() as second:
        target = f"{first.address},{second.address.removeprefix('tcp://')}"
        with (
            UserServiceClient.connect(target, framing="header", heartbeat=None, policy=HEDGING) as client,
            observe.span("buy"),
        ):
            trace_id = observe.trace_id()
            assert client.using(idempotent=True).wait(7) == 7
    program, *servers = collector.wait(3, trace_id)
    assert program.outer_events() == [
        ("buy", PART, ""),
        ("UserService.wait", CALL, "buy"),
        ("UserService.wait", CLIENT, "UserService.wait"),
        ("UserService.wait", CLIENT, "UserService.wait"),
    ]
    assert len({each.destination for each in program.calls()}) == 2
    assert {each.span_id for each in servers} == {each.next_span_id for each in program.calls()}


@pytest.mark.parametrize("seed", range(4))
def test_work_in_tasks_and_threads_is_below_what_has_begun_it(collector: Collector, seed: int) -> None:
    dice = random.Random(seed)
    names: list[str] = []
    pool = observe.CarryingExecutor(8)

    def block(name: str, depth: int) -> None:
        with observe.span(name):
            names.append(name)
            begun = []
            for number in range(dice.randrange(1, 4) if depth else 0):
                if dice.random() < 0.5:
                    block(f"{name}.{number}", depth - 1)
                else:
                    begun.append(pool.submit(block, f"{name}.{number}", 0))
            for each in begun:
                each.result(TIMEOUT)

    async def grow(name: str, depth: int) -> None:
        with observe.span(name):
            names.append(name)
            begun: list[Any] = []
            for number in range(dice.randrange(1, 5) if depth else 0):
                kind, child = dice.randrange(3), f"{name}.{number}"
                if kind == 0:
                    await grow(child, depth - 1)
                elif kind == 1:
                    begun.append(asyncio.create_task(grow(child, depth - 1)))
                else:
                    begun.append(asyncio.to_thread(block, child, 2))
                for _ in range(dice.randrange(3)):
                    await asyncio.sleep(0)
            await asyncio.gather(*begun)

    async def main() -> str:
        with observe.span("root"):
            await asyncio.gather(*(grow(f"root.{number}", 3) for number in range(3)))
            return observe.trace_id()

    with tracing(), pool:
        trace_id = asyncio.run(main())
    [program] = collector.wait(1, trace_id)
    assert sorted(program.outer_events()) == sorted((name, PART, name.rpartition(".")[0]) for name in ("root", *names))


def test_work_that_outlives_its_parent_belongs_to_what_still_runs(collector: Collector) -> None:
    ids: list[str] = []

    async def later(begin: asyncio.Event) -> None:
        await begin.wait()
        with observe.span("later"):
            ids.append(observe.trace_id())

    async def main() -> None:
        after_inner, after_outer = asyncio.Event(), asyncio.Event()
        with observe.span("outer"):
            with observe.span("inner"):
                tasks = [asyncio.create_task(later(each)) for each in (after_inner, after_outer)]
            after_inner.set()
            await tasks[0]
        after_outer.set()
        await tasks[1]

    with tracing():
        asyncio.run(main())
    assert len(set(ids)) == 1
    one, other = collector.wait(2, ids[0])
    assert one.transaction != other.transaction
    assert sorted([one.tree(), other.tree()]) == [
        [f"later {PART}"],
        [f"outer {PART}", f"  ~ later {ASYNC}", f"  ~   later {PART}", f"  inner {PART}"],
    ]


def test_a_call_that_is_deferred_begins_a_transaction(collector: Collector) -> None:
    port = free_port()
    policy: Any = {"fault": "failcache", "failcache": {"retry_interval": 0.01, "max_age": 30.0, "max_retries": 1000}}
    outcomes: list[Any] = []
    with (
        tracing(),
        UserServiceClient.connect(f"127.0.0.1:{port}", framing="header", heartbeat=None, policy=policy) as client,
    ):
        with observe.span("order"):
            trace_id = observe.trace_id()
            with pytest.raises(Deferred):
                client.using(on_done=outcomes.append).get(1)
        with Server(user_service(Users()), f"127.0.0.1:{port}").start():
            eventually(lambda: outcomes, "the retry")
    [order] = collector.wait(1, trace_id)
    [server] = eventually(lambda: [each for each in collector.spans() if each.acceptor == f"127.0.0.1:{port}"])
    [deferred] = eventually(lambda: [each for each in collector.spans() if each.span_id == server.parent_id])
    assert deferred.transaction == server.transaction != order.transaction
    assert (deferred.rpc, deferred.service_type, deferred.parent_id) == ("UserService.get", PROGRAM, -1)


def test_a_call_that_gets_its_name_and_is_sampled_late_is_recorded_from_then_on(collector: Collector) -> None:
    import pinpoint

    ids: list[str] = []

    class Handler(Users):
        def __init__(self, inner: UserServiceClient) -> None:
            super().__init__()
            self.inner = inner

        def get(self, id: int) -> User:
            with pinpoint.trace("before"):
                observe.put("user", "42")
                ids.append(observe.trace_id())
            with observe.span("part") as span:
                assert span.recorded is not None
                span.recorded.name = "renamed"
            with pinpoint.trace("after"):
                return self.inner.get(id)

    rules = [SamplingRule(tags={"user": "42"}, force=True)]
    with tracing(sampler=0.0, rules=rules), chain(Handler) as (client, _):
        client.get(1)
    server, last = collector.wait(2, ids[0])
    assert server.tree() == [
        f"UserService.get {HANDLER}",
        f"  renamed {PART}",
        f"  after {PART}",
        f"    UserService.get {CLIENT}",
    ]
    assert last.parent_id == server.span_id


def test_errors_fail_the_span_of_the_server_and_the_program_that_does_not_catch_them(collector: Collector) -> None:
    def run(client: UserServiceClient, id: int) -> str:
        with suppress(RpcError), observe.span("buy"):
            trace_id = observe.trace_id()
            client.get(id)
        return trace_id

    with tracing(), chain(lambda inner: Users()) as (client, _):
        failed, declared = run(client, 0), run(client, -1)
        with observe.span("careful"):
            caught = observe.trace_id()
            with suppress(RpcError):
                client.get(0)
    program, server = collector.wait(2, failed)
    assert (server.is_failed, server.error) == (True, "ValueError: a secret that must not leave")
    assert program.is_failed
    assert program.error.startswith("ApplicationError: ")
    assert " ! ApplicationError: " in program.tree()[1]
    program, server = collector.wait(2, caught)
    assert (server.is_failed, program.is_failed) == (True, False)
    assert " ! ApplicationError: " in program.tree()[1]
    # Exceptions of the IDL are answers.
    program, server = collector.wait(2, declared)
    assert not server.is_failed
    assert " ! " not in program.tree()[1]


def test_a_failed_attempt_does_not_fail_the_transaction(collector: Collector) -> None:
    dead = f"127.0.0.1:{free_port()}"
    with (
        tracing() as active,
        Server(user_service(Users())).start() as server,
        UserServiceClient.connect(f"{server.address},{dead}", framing="header", heartbeat=None) as client,
    ):
        while not any(each.status == "error" for each in active.store.recent()):
            with observe.span("buy"):
                trace_id = observe.trace_id()
                client.get(1)
    program, called = collector.wait(2, trace_id)
    outer, call, failed, answered = program.tree()
    assert (outer, call) == (f"buy {PART}", f"  UserService.get {CALL}")
    assert failed.startswith(f"    UserService.get {CLIENT} ! ConnectFailed: ")
    assert answered == f"    UserService.get {CLIENT}"
    assert not program.is_failed
    assert {each.destination: each.next_span_id for each in program.calls()} == {
        dead: 0,
        server.address.removeprefix("tcp://"): called.span_id,
    }


def test_a_call_that_no_instance_is_there_for_is_no_call_to_a_server(collector: Collector) -> None:
    with tracing(), observe.span("buy"):
        trace_id = observe.trace_id()
        with UserServiceClient.connect("memory://nobody-serves-this") as client, suppress(RpcError):
            client.get(1)
    [program] = collector.wait(1, trace_id)
    assert program.tree()[1].startswith(f"  UserService.get {CALL} ! NoInstance: ")


def pinpoint_headers(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower().startswith("pinpoint-")}


class Listening(Users):
    """Keeps the metadata of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[dict[str, str]] = []

    def ping(self) -> None:
        self.received.append(pinpoint_headers(request_metadata()))


def test_requests_have_one_set_of_headers(collector: Collector) -> None:
    listening = Listening()
    with (
        tracing(writes=("pinpoint", "w3c")),
        chain(lambda inner: listening) as (client, address),
        observe.span("buy"),
    ):
        trace_id = observe.trace_id()
        client.ping()
        other = pinpoint_headers(observe.trace_headers("other:80"))
    [received] = listening.received
    program, server = collector.wait(2, trace_id)
    assert received == {
        "pinpoint-traceid": program.transaction,
        "pinpoint-spanid": str(server.span_id),
        "pinpoint-pspanid": str(program.span_id),
        "pinpoint-flags": "0",
        "pinpoint-pappname": "shop",
        "pinpoint-papptype": "1700",
        "pinpoint-pservicename": "DEFAULT",
        "pinpoint-host": address,
    }
    # For clients of other libraries.
    assert set(other) == set(received)
    [outer] = [each for each in program.events if each.name == "buy"]
    assert (other["pinpoint-spanid"], other["pinpoint-host"]) == (str(outer.next_span_id), "other:80")


def test_calls_that_are_not_sampled_have_pinpoint_headers_only_if_that_format_is_written(
    collector: Collector,
) -> None:
    listening = Listening()
    for writes in (("w3c",), ("w3c", "pinpoint")):
        with tracing(sampler="never", writes=writes), chain(lambda inner: listening) as (client, _):
            client.ping()
    none, some = listening.received
    assert none == {}
    assert some["pinpoint-sampled"] == "s0"


def test_a_caller_that_does_not_sample_is_followed(collector: Collector) -> None:
    class Handler(Users):
        def __init__(self, inner: UserServiceClient) -> None:
            super().__init__()
            self.inner = inner
            self.headers: dict[str, str] = {}

        def ping(self) -> None:
            self.inner.get(1)
            self.headers = pinpoint_headers(observe.trace_headers())

    made: list[Handler] = []

    def make(inner: UserServiceClient) -> Handler:
        made.append(Handler(inner))
        return made[0]

    before = process_counts(SPANS)
    with tracing(), chain(make) as (client, _), observe.span("buy"):
        trace_id = observe.trace_id()
        client.using(metadata={"pinpoint-sampled": "s0"}).ping()
    [program] = collector.wait(1, trace_id)
    # Two servers and the call between them; the program and its call.
    assert grown(before, SPANS) == {("pinpoint", "rejected"): 3, ("pinpoint", "exported"): 2}
    assert made[0].headers == {"pinpoint-sampled": "s0"}
    assert [each.rpc for each in collector.spans() if each.transaction == program.transaction] == ["buy"]


def test_a_caller_that_is_not_trusted_is_not_followed(collector: Collector) -> None:
    stranger = {
        "pinpoint-traceid": "stranger^1^1",
        "pinpoint-spanid": "5",
        "pinpoint-pspanid": "4",
        "pinpoint-pappname": "stranger",
    }
    with tracing(trusted=["192.0.2.0/24"]) as active, chain(lambda inner: Users()) as (client, _):
        for headers in (stranger, {"pinpoint-sampled": "s0"}):
            client.using(metadata=headers).ping()

        def traces() -> list[str]:
            return [each.trace_id for each in active.store.recent() if each.kind == "server"]

        eventually(lambda: len(traces()) == 2)
    for trace_id in traces():
        [received] = [each for each in collector.wait(2, trace_id) if each.name == "Thrift Server"]
        [program] = [each for each in collector.wait(2, trace_id) if each.name == "Program"]
        assert received.parent_id == -1
        assert received.transaction not in {"stranger^1^1", program.transaction}


def test_the_agent_has_the_span_of_the_call_as_the_current_one(collector: Collector) -> None:
    import pinpoint

    class Handler(Users):
        def get(self, id: int) -> User:
            with pinpoint.trace("of the agent"):
                return super().get(id)

    def work() -> None:
        with observe.span("in a thread"), pinpoint.trace("there"):
            pass

    with tracing(), chain(lambda inner: Handler()) as (client, _), observe.CarryingExecutor(1) as pool:
        with observe.span("buy"):
            trace_id = observe.trace_id()
            client.get(1)
            with pinpoint.trace("here"):
                pass
            pool.submit(work).result(TIMEOUT)
        assert pinpoint.current_span() is None
    program, server = collector.wait(2, trace_id)
    assert server.tree() == [f"UserService.get {HANDLER}", f"  of the agent {PART}"]
    assert program.tree() == [
        f"buy {PART}",
        f"  ~ in a thread {ASYNC}",
        f"  ~   in a thread {PART}",
        f"  ~     there {PART}",
        f"  UserService.get {CLIENT}",
        f"  here {PART}",
    ]


def test_calls_belong_to_the_transaction_that_the_program_has_begun(collector: Collector) -> None:
    import pinpoint

    with (
        tracing(),
        chain(lambda inner: Users()) as (client, _),
        current_agent().new_span("Web Server", "/buy") as span,
        span.new_span_event("view"),
    ):
        with observe.span("part"):
            pass
        assert pinpoint.current_span() is span
        client.get(1)
    [server] = eventually(lambda: [each for each in collector.spans() if each.parent_id == span.span_id])
    [web] = eventually(lambda: [each for each in collector.spans() if each.span_id == span.span_id])
    assert server.transaction == web.transaction
    assert web.outer_events() == [
        ("view", PART, ""),
        ("part", PART, "view"),
        ("UserService.get", PART, "view"),
        ("part", PART, "part"),
        ("UserService.get", CLIENT, "UserService.get"),
    ]


def test_the_agent_of_the_program_goes_on(collector: Collector) -> None:
    agent = current_agent()
    exporter = PinpointExporter("other", agent_port=1)
    exporter.start()
    assert exporter.close()
    assert exporter.close()
    assert current_agent() is agent
    assert agent.enabled
    # Nothing is recorded after that.
    before = process_counts(SPANS)
    span = root_span()
    exporter.begin(span, None)
    finished = span.end()
    assert finished is not None
    exporter.end(span, finished)
    assert grown(before, SPANS) == {("pinpoint", "dropped"): 1}


class Broken:
    """An agent that fails."""

    enabled = True

    def new_span(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no memory")


def test_failures_of_the_agent_do_not_reach_calls(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import pinpoint

    before = process_counts(SPANS)
    with tracing(), chain(lambda inner: Users()) as (client, _):
        monkeypatch.setattr(pinpoint, "get_agent", Broken)
        with caplog.at_level(logging.WARNING, "idlrt.observe"):
            for _ in range(3):
                assert client.get(1).name == "user 1"
        monkeypatch.undo()
    assert [each.getMessage() for each in caplog.records] == ["cannot record a span with Pinpoint's agent: no memory"]
    assert grown(before, SPANS) == {("pinpoint", "dropped"): 6}


class OtherSpan:
    """A span of another version of the agent, without the private attributes that are used."""

    sampled = True

    def __init__(self, begun: list[str]) -> None:
        self.begun = begun

    def new_span_event(self, name: str, service_type: int) -> OtherSpan:
        self.begun.append(f"event {name}")
        return OtherSpan(self.begun)

    def new_async_span(self, name: str) -> OtherSpan:
        self.begun.append(f"async {name}")
        return OtherSpan(self.begun)

    def annotate_string_string(self, key: int, name: str, value: str) -> None:
        pass


def test_other_versions_of_the_agent_work_without_the_attributes_that_are_private() -> None:
    begun: list[str] = []
    root = Place.root(OtherSpan(begun), "order", PART, "1" * 32)
    # Nothing has said which thread it is that adds events, so what follows is beside them.
    assert root.child("part", PART).is_beside
    assert begun == ["event order", "async part", "event part"]


def test_two_of_them_cannot_be_used_together(collector: Collector) -> None:
    with pytest.raises(ConfigurationError, match="pinpoint and pinpoint cannot be used together"):
        observe.trace("shop", exporters=[PinpointExporter("a"), PinpointExporter("b")])
