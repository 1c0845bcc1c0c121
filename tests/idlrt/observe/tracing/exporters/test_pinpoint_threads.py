"""Handlers that run on other threads and tasks than their session have their span as the agent's current one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hand_written import AsyncUsers, AsyncUserServiceClient, User, Users, UserServiceClient, user_service
from pinpoint_calls import CLIENT, HANDLER, PART, chain, tracing
from pinpoint_collector import Collector

from idlrt import observe
from idlrt.server import Server

# The agent sends in batches.
pytestmark = pytest.mark.slow


class Calling(Users):
    """Calls another server, with the agent's own functions around it."""

    def __init__(self, inner: UserServiceClient) -> None:
        super().__init__()
        self.inner = inner

    def get(self, id: int) -> Any:
        import pinpoint

        with pinpoint.trace("of the agent"):
            return self.inner.get(id)


class CallingAsync(AsyncUsers):
    """Calls another server at the same time, and then with the agent's own functions around it."""

    def __init__(self, inner: UserServiceClient, target: str = "") -> None:
        super().__init__()
        self.target = target

    async def get(self, id: int) -> User:
        import pinpoint

        async with AsyncUserServiceClient.connect(self.target, framing="header") as inner:
            await asyncio.gather(inner.ping(), inner.ping())
            with pinpoint.trace("of the agent"):
                return await inner.get(id)


def test_handlers_of_workers_nest_on_their_threads(collector: Collector) -> None:
    with tracing(), chain(Calling, workers=2) as (client, _), observe.span("buy"):
        trace_id = observe.trace_id()
        client.get(1)
    _, server, _ = collector.wait(3, trace_id)
    assert server.tree() == [
        f"UserService.get {HANDLER}",
        f"  of the agent {PART}",
        f"    UserService.get {CLIENT}",
    ]


def test_async_handlers_of_a_blocking_server_nest_in_their_tasks(collector: Collector) -> None:
    with (
        tracing(),
        Server(user_service(Users())).start() as last,
        chain(lambda inner: CallingAsync(inner, last.address)) as (client, _),
        observe.span("buy"),
    ):
        trace_id = observe.trace_id()
        client.get(1)
    _, server, *_ = collector.wait(5, trace_id)
    assert server.outer_events()[:3] == [
        ("UserService.get", HANDLER, ""),
        ("of the agent", PART, "UserService.get"),
        ("UserService.get", CLIENT, "of the agent"),
    ]
    assert server.outer_events()[3:] == [("UserService.ping", CLIENT, "UserService.get")] * 2


def test_headers_of_the_agent_are_no_conflict(collector: Collector) -> None:
    with tracing() as active, chain(lambda inner: Users()) as (client, _), observe.span("buy"):
        client.get(1)
    [server] = [each for each in active.store.recent() if each.kind == "server"]
    assert server.links == ()
