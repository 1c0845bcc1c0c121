"""Routing rules see the business tags of a trace: those of the whole chain, and those for the next hop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hand_written import User, Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.switch import TRACING
from idlrt.route import CallerInfo, call_condition
from idlrt.server import Server


class Named(Users):
    """`get` returns the version of the instance, or what the next server returns."""

    def __init__(self, version: str, next: UserServiceClient | None = None) -> None:
        super().__init__()
        self.version = version
        self.next = next

    def get(self, id: int) -> User:
        return self.next.get(id) if self.next is not None else User(id=id, name=self.version)


@pytest.fixture(params=["always", "never"])
def off(request: pytest.FixtureRequest) -> Iterator[None]:
    # Tags travel whether the trace is recorded or not.
    with observe.trace("test", sampler=request.param):
        yield
    TRACING.use(None)


def routed(servers: dict[str, Server]) -> UserServiceClient:
    """Return a client of servers by version. Users of the app go to version 2, all others to version 1."""
    port = {version: server.port for version, server in servers.items()}
    routes = [
        {"router": "condition", "when": "tags.channel = app*", "to": f"port = {port['2']}"},
        {"router": "condition", "when": "tags.channel != app*", "to": f"port = {port['1']}"},
    ]
    target = "static://" + ",".join(f"127.0.0.1:{each}" for each in port.values()) + "/UserService"
    return UserServiceClient.connect(target, framing="header", policy={"routes": routes})


@pytest.mark.usefixtures("off")
def test_calls_are_routed_by_tags_that_were_set_before() -> None:
    with (
        Server(user_service(Named("1"))).start() as one,
        Server(user_service(Named("2"))).start() as two,
        routed({"1": one, "2": two}) as client,
        # A hop in between, which knows nothing of the tag.
        Server(user_service(Named("", client))).start() as between,
        UserServiceClient.connect(between.address, framing="header") as outer,
    ):
        assert {client.get(1).name for _ in range(10)} == {"1"}
        with observe.span("request"):
            observe.put("channel", "app-ios")
            assert {client.get(1).name for _ in range(10)} == {"2"}
            assert {outer.get(1).name for _ in range(10)} == {"2"}
            observe.put("channel", "web")
            assert {outer.get(1).name for _ in range(10)} == {"1"}
        with observe.span("request"):
            observe.put_once("channel", "app")
            assert {client.get(1).name for _ in range(10)} == {"2"}
            # For one hop: the server in between calls without it.
            assert {outer.get(1).name for _ in range(10)} == {"1"}
        assert {outer.get(1).name for _ in range(10)} == {"1"}


def test_without_tracing_there_are_no_tags() -> None:
    with (
        Server(user_service(Named("1"))).start() as one,
        Server(user_service(Named("2"))).start() as two,
        routed({"1": one, "2": two}) as client,
    ):
        assert {client.get(1).name for _ in range(10)} == {"1"}


def test_a_tag_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown key 'tags\.'"):
        call_condition("tags. = 1", CallerInfo(id="check"))
