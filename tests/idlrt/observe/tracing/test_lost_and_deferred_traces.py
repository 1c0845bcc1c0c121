"""Contexts that are lost in executors are shown as such; retries in the background have a link to their call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from admin_requests import request
from eventually import eventually
from free_ports import free_port
from hand_written import User, Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.errors import Deferred
from idlrt.observe.tracing.setup import ActiveTracing
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.switch import TRACING
from idlrt.server import Server


@pytest.fixture
def tracing() -> Iterator[ActiveTracing]:
    with observe.trace("test", sampler="always") as active:
        yield active
    TRACING.use(None)


def named(tracing: ActiveTracing, name: str, kind: str = "") -> list[FinishedSpan]:
    found = [each for each in tracing.store.recent() if each.name == name and kind in ("", each.kind)]
    return sorted(found, key=lambda each: each.started_at)


class Shop(Users):
    """`get` calls another server from a thread pool."""

    def __init__(self, behind: UserServiceClient) -> None:
        super().__init__()
        self.behind = behind
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="prices")
        self.carrying = observe.CarryingExecutor(1)

    def get(self, id: int) -> User:
        if id == 1:
            return self.pool.submit(self.behind.get, id).result()
        if id == 2:
            return self.pool.submit(observe.carry(self.behind.get), id).result()
        return self.carrying.submit(self.behind.get, id).result()


def test_a_context_that_a_pool_has_lost(tracing: ActiveTracing) -> None:
    with (
        Server(user_service(Users())).start() as behind,
        UserServiceClient.connect(behind.address, framing="header") as to_behind,
        Server(user_service(Shop(to_behind)), workers=2, admin="127.0.0.1:0").start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        for id in (1, 2, 3):
            client.get(id)
        eventually(lambda: len(tracing.store.recent()) == 12)
        clients = named(tracing, "UserService.get", "client")
        lost = [each for each in clients if each.attributes.get("idlrt.context_lost")]
        assert [(each.parent_id, each.attributes["thread.name"]) for each in lost] == [("", "prices_0")]
        assert len({each.trace_id for each in clients}) == 4
        for path in ("/rpcz", f"/rpcz/{lost[0].trace_id}"):
            assert "context lost" in request(server, path, accept="text/html").text


def test_internal_spans_and_asyncio(tracing: ActiveTracing) -> None:
    def work() -> None:
        with observe.span("work"):
            pass

    async def main() -> None:
        with observe.span("outer"):
            await asyncio.get_running_loop().run_in_executor(None, work)
            await asyncio.to_thread(work)

    asyncio.run(main())
    first, second = named(tracing, "work")
    [outer] = named(tracing, "outer")
    assert (first.attributes.get("idlrt.context_lost"), first.parent_id) == (True, "")
    assert ("idlrt.context_lost" in second.attributes, second.parent_id) == (False, outer.span_id)


def test_threads_of_a_program_are_named_only(tracing: ActiveTracing) -> None:
    def work() -> None:
        with observe.span("refresh"):
            pass

    thread = threading.Thread(target=work, name="refresher")
    thread.start()
    thread.join()
    work()
    there, here = named(tracing, "refresh")
    assert dict(there.attributes) == {"thread.name": "refresher"}
    assert dict(here.attributes) == {}


# Retries in the background.


def deferring(port: int, **settings: Any) -> Any:
    # Silence is checked by pings, which would call the server before the retry does.
    policy = {"fault": "failcache", "failcache": {"retry_interval": 0.05, "max_age": 30.0, **settings}}
    return UserServiceClient.connect(f"127.0.0.1:{port}", framing="header", policy=policy)


def test_a_deferred_call_has_a_trace_of_its_own_with_a_link(tracing: ActiveTracing) -> None:
    port = free_port()
    outcomes: list[Any] = []
    with deferring(port, max_retries=1000) as client:
        with observe.span("order"):
            observe.put("user", "42")
            with pytest.raises(Deferred):
                client.using(on_done=outcomes.append).get(1)
        with Server(user_service(Users()), f"127.0.0.1:{port}").start():
            eventually(lambda: len(outcomes) == 1)
            eventually(lambda: len(named(tracing, "UserService.get", "server")) == 1)
    [order] = named(tracing, "order")
    [call] = [each for each in named(tracing, "UserService.get") if each.parent_id == order.span_id]
    [root] = [each for each in named(tracing, "UserService.get") if each.attributes.get("rpc.deferred")]
    assert root.trace_id != call.trace_id == order.trace_id
    assert [(each.trace_id, each.span_id) for each in root.links] == [(call.trace_id, call.span_id)]
    assert (root.parent_id, root.kind, root.status) == ("", "client", "unset")
    assert (root.attributes["rpc.response.status_code"], root.attributes["tag.user"]) == ("ok", "42")
    retries = [each for each in named(tracing, "UserService.get", "client") if each.parent_id == root.span_id]
    assert [each.status for each in retries] == ["error"] * (len(retries) - 1) + ["unset"]
    assert {each.attributes["rpc.attempt.kind"] for each in retries} == {"retry"}
    [served] = named(tracing, "UserService.get", "server")
    assert (served.trace_id, served.parent_id) == (root.trace_id, retries[-1].span_id)
    # The call itself ended when it was deferred: nothing in its trace is longer.
    assert call.status == "error"
    assert {each.trace_id for each in tracing.store.recent()} == {order.trace_id, root.trace_id}


@pytest.mark.parametrize(("is_closed", "status"), [(True, "internal"), (False, "unavailable")])
def test_a_deferred_call_that_fails(tracing: ActiveTracing, is_closed: bool, status: str) -> None:
    port = free_port()
    outcomes: list[Any] = []
    with deferring(port, max_retries=1000 if is_closed else 1) as client:
        with pytest.raises(Deferred):
            client.using(on_done=outcomes.append).get(1)
        if not is_closed:
            eventually(lambda: len(outcomes) == 1)
    assert len(outcomes) == 1
    [root] = [each for each in named(tracing, "UserService.get") if each.attributes.get("rpc.deferred")]
    assert (root.status, root.attributes["rpc.response.status_code"]) == ("error", status)


def test_a_call_that_was_not_sampled_is_deferred_without_spans() -> None:
    port = free_port()
    outcomes: list[Any] = []
    with observe.trace("test", sampler="never", slow_s=1000) as active:
        with deferring(port, max_retries=1) as client:
            with pytest.raises(Deferred):
                client.using(on_done=outcomes.append).get(1)
            eventually(lambda: len(outcomes) == 1)
        # Failed calls leave a late span, but retries have none.
        assert [each.is_late for each in active.store.recent()] == [True]
