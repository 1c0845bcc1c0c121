"""Settings in a registry apply to the calls of its clients within moments, and decisions are emitted as events."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

import pytest
from eventually import eventually
from hand_written import AsyncUserServiceClient, User, Users, UserServiceClient, user_service

from idlrt.config.store import change, rollback, to_text
from idlrt.core import (
    Attempted,
    BreakerChanged,
    Call,
    CallNext,
    Decision,
    Ejected,
    FallbackUsed,
    Instance,
    NotRetried,
    Picked,
    Rejected,
    Restored,
    Retrying,
    Routed,
    current_call,
)
from idlrt.embedded import RegistryServer
from idlrt.errors import (
    ApplicationError,
    CircuitOpen,
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    NoInstance,
    Overloaded,
)
from idlrt.registry import Registry
from idlrt.server import AsyncServer, Server

pytestmark = pytest.mark.slow

SERVICE = "UserService"
D = TypeVar("D", bound=Decision)


class EventEmitter:
    """Listens."""

    def __init__(self) -> None:
        self.all: list[Decision] = []

    def __call__(self, decision: Decision) -> None:
        self.all.append(decision)

    def of(self, kind: type[D]) -> list[D]:
        return [each for each in self.all if isinstance(each, kind)]

    def rule(self, name: str) -> bool:
        """Whether a rule of that name was followed."""
        return any(each.rule == name for each in self.of(Routed))

    def last(self, kind: type[D]) -> D | None:
        return next(iter(self.of(kind)[::-1]), None)


class Named(Users):
    """Handler that returns its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def get(self, id: int) -> User | None:
        if id <= 0:
            return super().get(id)
        return User(id=id, name=self.name)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture(params=["memory", "embedded"])
def url(request: pytest.FixtureRequest, stack: ExitStack) -> str:
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    return stack.enter_context(RegistryServer()).url


@pytest.fixture
def memory() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def registry(url: str, stack: ExitStack) -> Registry:
    return stack.enter_context(Registry.connect(url, cache=False))


def serve(stack: ExitStack, url: str, name: str | object, **instance: Any) -> Server:
    handler = Named(name) if isinstance(name, str) else name
    if url.startswith("embedded:"):
        url += "?timeout=60"  # seconds without a heartbeat that the registration survives
    server = Server(
        user_service(handler), registry=url, instance=instance, grace_s=0.2, drain_s=0.02, workers=2  # type: ignore[arg-type]
    )  # fmt: skip
    stack.callback(server.stop)
    return server.start()


def register_dead(stack: ExitStack, registry: Registry, **instance: Any) -> int:
    """Register an instance that is not there: its port, which a server may share."""
    taken = stack.enter_context(socket.socket())
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    taken.bind(("127.0.0.1", 0))
    port = int(taken.getsockname()[1])
    registry.register(Instance(service=SERVICE, host="127.0.0.1", port=port, **instance)).wait()
    return port


def connect(stack: ExitStack, target: str, **options: Any) -> tuple[UserServiceClient, EventEmitter]:
    """A client without heartbeats, so that no pause of the machine takes an instance out of rotation."""
    heard = EventEmitter()
    options = {"heartbeat": None, "timeout": 60, **options}
    return stack.enter_context(UserServiceClient.connect(target, listeners=[heard], **options)), heard


def names(client: Any, calls: int) -> Counter[str]:
    return Counter(client.get(number).name for number in range(1, calls + 1))


def tries(call: Callable[[], object], is_so: Callable[[], object]) -> Callable[[], bool]:
    """Make a call, ignore its outcome, and check the condition."""

    def await_snapshot() -> bool:
        with suppress(Overloaded, ApplicationError, DeadlineExceeded):
            call()
        return bool(is_so())

    return await_snapshot


# Clients follow.


def test_routing_rules_are_applied(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "fast", tags={"disk": "ssd"})
    serve(stack, url, "slow", tags={"disk": "hdd"})
    client, heard = connect(stack, url)
    eventually(lambda: len(names(client, 30)) == 2, "both are called")
    for disk, name in (("ssd", "fast"), ("hdd", "slow"), ("ssd", "fast")):
        rule = {"name": f"only {disk}", "to": f"tags.disk = {disk}"}
        change(registry, SERVICE, {"routes": to_text([rule])})
        eventually(tries(lambda: client.get(1), lambda: heard.rule(f"only {disk}")), "a rule")  # noqa: B023
        assert set(names(client, 30)) == {name}
        heard.all.clear()
    rollback(registry, SERVICE)
    eventually(tries(lambda: client.get(1), lambda: heard.rule("only hdd")), "a rollback")
    assert set(names(client, 30)) == {"slow"}
    change(registry, SERVICE, {}, whole=True)
    eventually(lambda: len(names(client, 30)) == 2, "no rule")


def test_balancers_are_applied(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "one")
    serve(stack, url, "two")
    client, heard = connect(stack, url)
    for balancer in ("round_robin", "maglev", "p2c"):
        change(registry, SERVICE, {"balancer": balancer})

        def is_so(balancer: str = balancer) -> bool:
            client.get(1)
            picked = heard.last(Picked)
            return picked is not None and picked.balancer == balancer

        eventually(is_so, balancer)
    change(registry, SERVICE, {"methods.get.balancer": "round_robin"})
    eventually(tries(lambda: client.get(1), lambda: heard.all[-2].balancer == "round_robin"), "the method's")  # type: ignore[attr-defined]
    client.ping()
    assert heard.of(Picked)[-1].balancer == "p2c"


def test_fault_modes_are_applied(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "one")
    client, heard = connect(stack, url)
    with pytest.raises(ApplicationError):
        client.get(0)
    change(registry, SERVICE, {"methods.get.fault": "failsafe"})
    eventually(tries(lambda: client.get(0), lambda: heard.last(FallbackUsed)), "failsafe")
    assert client.get(0) is None
    change(registry, SERVICE, {"methods.get.fault": None})
    eventually(lambda: _raises(lambda: client.get(0)), "failover")


def _raises(call: Callable[[], object]) -> bool:
    try:
        call()
    except ApplicationError:
        return True
    return False


def test_timeouts_are_applied(stack: ExitStack, url: str, registry: Registry) -> None:
    seen: list[float] = []

    async def note(call: Call, next: CallNext) -> Any:
        seen.append(call.deadline.timeout)
        return await next(call)

    users = Users()
    serve(stack, url, users)
    stack.callback(users.gate.set)
    client, heard = connect(stack, url, filters=[note], timeout=None)
    client.ping()
    change(registry, SERVICE, {"timeout": "75", "methods.wait.timeout": "0.05"})
    eventually(tries(client.ping, lambda: seen[-1] == 75), "a timeout")
    with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
        client.wait(1)
    assert heard.of(Attempted)[-1].error == "DeadlineExceeded"


def test_guards_are_applied(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "one")
    client, heard = connect(stack, url)
    assert names(client, 20) == {"one": 20}
    change(registry, SERVICE, {"limiter.rate": "0.001", "limiter.burst": "1"})
    eventually(tries(lambda: client.get(1), lambda: heard.last(Rejected)), "a limiter")
    refused = heard.of(Rejected)[-1]
    assert (refused.guard, refused.subject) == ("limiter", "UserService.get")
    change(registry, SERVICE, {"limiter.enabled": "false"})
    eventually(lambda: not _is_refused(client), "no limiter")
    assert names(client, 20) == {"one": 20}


def _is_refused(client: UserServiceClient) -> bool:
    try:
        client.get(1)
    except Overloaded:
        return True
    return False


def test_settings_are_applied_to_asyncio_clients(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "fast", tags={"disk": "ssd"})
    serve(stack, url, "slow", tags={"disk": "hdd"})
    heard = EventEmitter()

    async def main() -> None:
        async with AsyncUserServiceClient.connect(url, listeners=[heard], timeout=60) as client:
            await client.get(1)
            loop = asyncio.get_running_loop()
            rules = to_text([{"name": "fast", "to": "tags.disk = ssd"}])
            await loop.run_in_executor(None, lambda: change(registry, SERVICE, {"routes": rules}))
            while not heard.rule("fast"):
                await client.get(1)
            assert {(await client.get(1)).name for _ in range(20)} == {"fast"}

    asyncio.run(main())


def test_invalid_settings_of_the_registry_are_logged_and_ignored(
    stack: ExitStack, url: str, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    serve(stack, url, "one")
    client, heard = connect(stack, url)
    client.get(1)
    wrong = {
        "timeot": "1",
        "retries": "-1",
        "routes": '[{"wen": 1}]',
        "fallback.on": '["Nosuch"]',
        "timeout": "[" * 1200,
    }
    with caplog.at_level(logging.ERROR, "idlrt.client"):
        registry.configure(SERVICE, {**wrong, "balancer": "round_robin"})
        is_so = tries(lambda: client.get(1), lambda: heard.of(Picked)[-1].balancer == "round_robin")
        eventually(is_so, "what is right")
    for key in ("timeot", "retries", "routes[0].wen", "fallback.on", "timeout"):
        assert re.search(f"ignoring invalid .*: {re.escape(key)}: ", caplog.text)
    assert names(client, 20) == {"one": 20}


def test_the_first_call_of_a_new_client_uses_the_settings_of_the_registry(
    stack: ExitStack, url: str, registry: Registry
) -> None:
    """Before its first call a client does not know the settings of the registry."""
    for _ in range(2):
        register_dead(stack, registry, tags={"disk": "ssd"})
    serve(stack, url, "slow", tags={"disk": "hdd"})
    change(registry, SERVICE, {"fault": "failfast", "routes": to_text([{"to": "tags.disk = ssd"}])})
    client, heard = connect(stack, url)
    with pytest.raises(ConnectFailed):
        client.get(1)
    assert len(heard.of(Attempted)) == 1


def test_a_longer_timeout_applies_to_the_first_call(stack: ExitStack, url: str, registry: Registry) -> None:
    left: list[float] = []

    class Timed(Users):
        def ping(self) -> None:
            call = current_call()
            assert call is not None
            left.append(call.remaining())

    serve(stack, url, Timed())
    change(registry, SERVICE, {"timeout": "3000"})
    client, _ = connect(stack, url, timeout=None)
    client.ping()
    client.using(timeout=200).ping()
    assert 1000 < left[0] <= 3000
    assert left[1] <= 200


def test_guards_of_the_registry_apply_to_the_first_call(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "one")
    change(registry, SERVICE, {"fallback.force": "true", "fallback.values": '{"get": {"id": 7}}'})
    client, _ = connect(stack, url)
    assert client.get(1) == User(id=7)
    change(registry, SERVICE, {"fallback.enabled": "false"})
    eventually(lambda: client.get(1).name == "one", "no fallback")


def test_settings_of_the_caller_override_the_registry(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "one")
    change(registry, SERVICE, {"balancer": "random", "fault": "failfast"})
    client, heard = connect(stack, url, policy={"balancer": "maglev"})
    client.get(1)
    assert heard.of(Picked)[-1].balancer == "maglev"
    client.using(balancer="round_robin").get(1)
    assert heard.of(Picked)[-1].balancer == "round_robin"


@pytest.mark.parametrize(
    "key",
    ["routes", "panic_threshold", "budget.ratio", "instance_breaker.minimum_throughput", "ejection.base_ejection_time"],
)
def test_using_rejects_service_settings(stack: ExitStack, memory: str, key: str) -> None:
    client, _ = connect(stack, memory)
    value: Any = [] if key == "routes" else 1
    with pytest.raises(ConfigurationError, match=r"applies to the whole service, .*; set it with connect"):
        client.using(policy={key: value})


def test_concurrent_calls_end_up_with_the_newest_rules(stack: ExitStack, memory: str) -> None:
    """An older rule must never replace a newer one."""
    for name in ("a", "b"):
        serve(stack, memory, name, tags={"name": name})
    client, _ = connect(stack, memory)
    is_over = threading.Event()
    errors: list[Exception] = []

    def call() -> None:
        while not is_over.is_set():
            try:
                client.get(1)
            except Exception as error:  # noqa: BLE001  # whatever it is
                errors.append(error)
                return

    threads = [threading.Thread(target=call) for _ in range(6)]
    for each in threads:
        each.start()
    with Registry.connect(memory) as registry:
        for number in range(60):
            registry.configure(SERVICE, {"routes": to_text([{"to": f"tags.name = {'ab'[number % 2]}"}])})
        eventually(lambda: set(names(client, 20)) == {"b"})
        is_over.set()
        for each in threads:
            each.join()
        assert errors == []
        assert set(names(client, 30)) == {"b"}


# Gray release: a tag travels along.


class Front(Users):
    """Asks another service."""

    def __init__(self, name: str, back: Any) -> None:
        super().__init__()
        self.name = name
        self.back = back

    def get(self, id: int) -> User:
        return User(id=id, name=f"{self.name} > {self.back.get(id).name}")


class AsyncFront(Front):
    async def get(self, id: int) -> User:  # type: ignore[override]
        return User(id=id, name=f"{self.name} > {(await self.back.get(id)).name}")


GRAY = {"tag": "gray"}


def test_a_tag_is_propagated_along_a_chain_of_services(stack: ExitStack, url: str) -> None:
    serve(stack, url, "back", service="Back")
    gray = serve(stack, url, "gray back", service="Back", tags=GRAY)
    back, _ = connect(stack, f"{url}/Back")
    serve(stack, url, Front("front", back), service="Front")
    serve(stack, url, Front("gray front", back), service="Front", tags=GRAY)
    client, heard = connect(stack, f"{url}/Front")
    assert set(names(client, 20)) == {"front > back"}
    assert set(names(client.using(tag="gray"), 20)) == {"gray front > gray back"}
    assert set(names(client, 20)) == {"front > back"}, "only calls with the tag"
    assert set(names(client.using(tag="blue"), 20)) == {"front > back"}, "nobody has that"
    assert any(each.why == "the call has the tag gray" for each in heard.of(Routed))
    # Where no gray instance is left, those without a tag take over.
    gray.stop()
    eventually(lambda: set(names(client.using(tag="gray"), 20)) == {"gray front > back"})


def test_a_tag_is_propagated_through_asyncio_servers(stack: ExitStack, memory: str) -> None:
    serve(stack, memory, "back", service="Back")
    serve(stack, memory, "gray back", service="Back", tags=GRAY)

    async def main() -> None:
        back = AsyncUserServiceClient.connect(f"{memory}/Back", timeout=60)
        servers = [
            AsyncServer(
                user_service(AsyncFront(name, back)), registry=memory, instance={"service": "Front", "tags": tags}
            )
            for name, tags in (("front", {}), ("gray front", GRAY))
        ]
        for each in servers:
            await each.start()
        async with AsyncUserServiceClient.connect(f"{memory}/Front", timeout=60) as client:
            gray = client.using(tag="gray")
            # At the same time: no call takes the tag of another one.
            calls = [(gray if number % 2 else client).get(number) for number in range(1, 41)]
            for number, user in enumerate(await asyncio.gather(*calls), 1):
                assert user.name == ("gray front > gray back" if number % 2 else "front > back")
        for each in servers:
            await each.stop()
        await back.close()

    asyncio.run(main())


# Groups, canaries, zones.


def test_groups_are_mixed(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "blue", group="blue")
    serve(stack, url, "green", group="green")
    client, heard = connect(stack, f"{url}?group=blue")
    assert set(names(client, 30)) == {"blue"}
    change(registry, SERVICE, {"routes": to_text([{"router": "group", "mix": {"blue": 50, "green": 50}}])}, "blue")
    eventually(lambda: len(names(client, 30)) == 2, "a mix")
    found = names(client, 1000)
    assert abs(found["green"] - 500) < 6 * math.sqrt(250)
    change(registry, SERVICE, {"routes": to_text([{"router": "group", "mix": {"green": 100}}])}, "blue")
    eventually(lambda: set(names(client, 30)) == {"green"}, "all of it")
    assert any(each.router == "group" and "green" in each.why for each in heard.of(Routed))
    rollback(registry, SERVICE, "blue", to=1)
    eventually(lambda: len(names(client, 30)) == 2)


@pytest.mark.parametrize("force", [False, True])
def test_the_first_call_uses_the_groups_of_rules(stack: ExitStack, url: str, registry: Registry, force: bool) -> None:
    serve(stack, url, "blue", group="blue")
    serve(stack, url, "green", group="green")
    rule = {"router": "group", "mix": {"green": 100}, "force": force}
    change(registry, SERVICE, {"routes": to_text([rule])}, "blue")
    client, _ = connect(stack, f"{url}?group=blue")
    assert names(client, 10) == {"green": 10}

    async def main() -> None:
        async with AsyncUserServiceClient.connect(f"{url}?group=blue", timeout=60) as client:
            assert (await client.get(1)).name == "green"

    asyncio.run(main())


def test_an_empty_group_fails_no_call(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "blue", group="blue")
    change(registry, SERVICE, {"routes": to_text([{"router": "group", "mix": {"green": 100}}])}, "blue")
    client, _ = connect(stack, f"{url}?group=blue")
    assert names(client, 10) == {"blue": 10}


def test_canaries_get_their_share_of_calls_and_are_sticky(stack: ExitStack, url: str, registry: Registry) -> None:
    serve(stack, url, "old", version="1.0")
    serve(stack, url, "new", version="2.0")
    rule = {"router": "canary", "name": "v2", "to": "version = 2.*", "percent": 20, "key": "argument.id"}
    change(registry, SERVICE, {"routes": to_text([rule])})
    client, heard = connect(stack, url)
    first = {number: client.get(number).name for number in range(1, 1001)}
    assert abs(Counter(first.values())["new"] - 200) < 6 * math.sqrt(160)
    assert {number: client.get(number).name for number in range(1, 1001)} == first
    assert "v2" in [step.rule for step in heard.of(Routed)]
    change(registry, SERVICE, {"routes": to_text([{**rule, "percent": 60}])})
    eventually(lambda: names(client, 100)["new"] > 40, "a larger share")
    second = {number: client.get(number).name for number in range(1, 1001)}
    assert all(second[number] == "new" for number, name in first.items() if name == "new"), "who is in stays in"


def test_the_zone_of_the_configuration_comes_first(stack: ExitStack, url: str) -> None:
    near = serve(stack, url, "near", zone="eu-1")
    serve(stack, url, "far", zone="us-1")
    client, heard = connect(stack, url, config={"caller": {"zone": "eu-1"}})
    assert set(names(client, 30)) == {"near"}
    assert any(each.why == "in zone eu-1" for each in heard.of(Routed))
    anywhere, _ = connect(stack, url, config={})
    eventually(lambda: len(names(anywhere, 30)) == 2)
    near.stop()
    eventually(lambda: set(names(client, 5)) == {"far"})
    strict = {"caller": {"zone": "eu-1"}, "defaults": {"routes": [{"router": "zone", "mode": "only"}]}}
    only, _ = connect(stack, url, config=strict)
    with pytest.raises(NoInstance, match="in zone eu-1; 1 in other zones, set mode"):
        only.get(1)


# Decision events.


def test_a_filter_receives_the_decisions_of_its_call(stack: ExitStack, memory: str) -> None:
    serve(stack, memory, "one")
    heard: list[list[Decision]] = []

    async def note(call: Call, next: CallNext) -> Any:
        mine: list[Decision] = []
        heard.append(mine)
        call.listeners += (mine.append,)
        return await next(call)

    client = stack.enter_context(UserServiceClient.connect(memory, filters=[note], timeout=60))
    for number in (1, 2):
        client.get(number)
    for mine in heard:
        assert [type(each) for each in mine] == [Routed, Routed, Picked, Attempted]
        assert {each.subject for each in mine} == {"UserService.get"}
        picked, attempted = mine[-2:]
        assert isinstance(picked, Picked)
        assert isinstance(attempted, Attempted)
        assert (picked.balancer, picked.among) == ("p2c", 1)
        assert attempted.instance == picked.instance
        assert (attempted.error, attempted.attempt) == ("", 0)
        assert attempted.seconds > 0


def test_retries_ejections_and_recoveries_are_reported(stack: ExitStack, memory: str) -> None:
    registry = stack.enter_context(Registry.connect(memory))
    port = register_dead(stack, registry, id="dead")
    serve(stack, memory, "one")
    client, heard = connect(stack, memory, policy={"balancer": "round_robin"}, heartbeat=1.0)
    eventually(tries(lambda: client.get(1), lambda: heard.last(Ejected)))
    retrying, ejected = heard.of(Retrying)[0], heard.of(Ejected)[0]
    assert (retrying.subject, retrying.mode) == ("UserService.get", "failover")
    assert (ejected.subject, ejected.seconds) == (f"127.0.0.1:{port}", None)
    failed = [each for each in heard.of(Attempted) if each.error]
    assert [(each.error, each.attempt, each.instance) for each in failed] == [("ConnectFailed", 0, ejected.subject)]
    assert heard.of(Attempted)[-1].attempt == 1
    # It comes back: a ping finds that out, outside of any call.
    server = Server(user_service(Named("back")), f"127.0.0.1:{port}", reuse_port=True, grace_s=0.2, drain_s=0.02)
    stack.callback(server.stop)
    server.start()
    eventually(lambda: heard.last(Restored))
    assert heard.of(Restored)[0].subject == ejected.subject
    assert set(names(client, 4)) == {"one", "back"}


def test_a_failing_listener_fails_no_call(stack: ExitStack, memory: str, caplog: pytest.LogCaptureFixture) -> None:
    def broken(decision: Decision) -> None:
        raise ValueError("broken")

    serve(stack, memory, "one")
    heard = EventEmitter()
    client = stack.enter_context(UserServiceClient.connect(memory, listeners=[broken, heard], timeout=60))
    with caplog.at_level(logging.ERROR, "idlrt.client"):
        assert client.get(1).name == "one"
    assert heard.of(Attempted)
    assert "decision listener failed" in caplog.text


def test_exhausted_retries_are_reported(stack: ExitStack, memory: str) -> None:
    registry = stack.enter_context(Registry.connect(memory))
    register_dead(stack, registry)
    client, heard = connect(stack, memory)
    with pytest.raises(Exception, match="cannot connect"):
        client.get(1)
    assert heard.of(NotRetried)[-1].why


def test_an_instance_is_called_again_when_its_breaker_has_other_settings(stack: ExitStack, memory: str) -> None:
    """The new breaker starts closed, without the failure history of the old one."""
    registry = stack.enter_context(Registry.connect(memory))
    serve(stack, memory, "one")
    serve(stack, memory, "two")
    fragile = {"instance_breaker.consecutive_failures": "1", "instance_breaker.count_internal": "true"}
    change(
        registry,
        SERVICE,
        {
            **fragile,
            "instance_breaker.break_duration": "600",
            "instance_breaker.max_break_duration": "600",
            "panic_threshold": "0",
        },
    )
    client, heard = connect(stack, memory, policy={"balancer": "round_robin", "fault": "failfast"})
    with pytest.raises(ApplicationError):
        client.get(0)
    assert [each.after for each in heard.of(BreakerChanged)] == ["open"]
    assert len(names(client, 10)) == 1
    change(registry, SERVICE, {"instance_breaker.consecutive_failures": "2"})
    eventually(lambda: len(names(client, 10)) == 2)
    with pytest.raises((ApplicationError, CircuitOpen)):
        client.get(0)


# Settings of services do not apply to the registry.


def test_service_settings_do_not_apply_to_the_registry(
    stack: ExitStack, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "all.toml"
    limit = "limiter.rate = 0.001\nlimiter.burst = 1\n"
    file.write_text(f'[defaults]\nfault = "failsafe"\n{limit}[server]\n{limit}')
    monkeypatch.setenv("IDLRT_CONFIG", str(file))
    server = stack.enter_context(RegistryServer())
    registry = stack.enter_context(Registry.connect(server.url, cache=False))
    for number in range(1, 6):
        registry.register(Instance(service=SERVICE, host="127.0.0.1", port=number)).wait()
    assert len(registry.instances(SERVICE).instances) == 5
