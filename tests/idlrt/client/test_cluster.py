"""Services of a registry: which instance is called, and what follows when a call fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from hand_written import AsyncUserServiceClient, User, Users, UserServiceClient, scripted_server, user_service

from idlrt.client import ClientStats, client_stats
from idlrt.core import Attempted, Decision, Instance, Status
from idlrt.errors import ConfigurationError, ConnectFailed, ConnectionLost, DeadlineExceeded, NoInstance, Overloaded
from idlrt.registry import Registry
from idlrt.registry.memory import memory_store
from idlrt.server import Server

pytestmark = pytest.mark.slow

SERVICE = "UserService"


class Named(Users):
    """Handler that returns its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.count = 0

    def get(self, id: int) -> User | None:
        self.count += 1
        return User(id=id, name=self.name)


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.connect(url) as made:
        yield made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def serve(stack: ExitStack, url: str, name: str, **instance: Any) -> tuple[Server, Named]:
    users = Named(name)
    server = Server(user_service(users), registry=url, instance=instance, grace_s=30, drain_s=0.05)  # type: ignore[arg-type]
    stack.callback(server.stop)
    return server.start(), users


class Caller:
    """A client of either kind, called from a plain test."""

    def __init__(self, kind: str, target: str, **options: Any) -> None:
        self.runner = asyncio.Runner() if kind == "asyncio" else None
        cls: Any = AsyncUserServiceClient if self.runner else UserServiceClient
        self.client: Any = cls.connect(target, **{"timeout": 60, **options})
        self.is_closed = False

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            method = getattr(self.client, name)
            return self.runner.run(self.awaited(method(*arguments))) if self.runner else method(*arguments)

        return call

    async def awaited(self, call: Any) -> Any:
        return await call

    def using(self, **options: Any) -> Caller:
        other = Caller.__new__(Caller)
        other.runner, other.client = self.runner, self.client.using(**options)
        return other

    @property
    def stats(self) -> ClientStats:
        return client_stats(self.client)

    @property
    def unavailable(self) -> set[str]:
        """Addresses of the instances that get no calls."""
        return {each.address for each in self.stats.endpoints if not each.is_available}

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if self.runner is None:
            self.client.close()
            self.client.close()
        else:
            self.runner.run(self.awaited(self.client.close()))
            self.runner.run(self.awaited(self.client.close()))
            self.runner.close()


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest, stack: ExitStack) -> Callable[..., Caller]:
    def make(target: str, **options: Any) -> Caller:
        caller = Caller(request.param, target, **options)
        stack.callback(caller.close)
        return caller

    return make


def test_calls_are_spread(stack: ExitStack, url: str, connect: Callable[..., Caller]) -> None:
    users = [serve(stack, url, name)[1] for name in "abc"]
    client = connect(url)
    calls = 0

    def all_are_called() -> bool:
        nonlocal calls
        client.get(calls + 1)
        calls += 1
        return min(each.count for each in users) > 5

    eventually(all_are_called, "also one that was slow once gets some")
    assert sum(each.count for each in users) == calls


def test_weights(stack: ExitStack, url: str, connect: Callable[..., Caller], registry: Registry) -> None:
    light, heavy = serve(stack, url, "light", weight=10)[1], serve(stack, url, "heavy", weight=90)[1]
    client = connect(f"{url}?balancer=weighted_random")
    for number in range(300):
        client.get(number + 1)
    assert 5 <= light.count <= 70
    assert heavy.count + light.count == 300


def test_the_most_specific_balancer_wins(
    stack: ExitStack, url: str, connect: Callable[..., Caller], registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    users = [serve(stack, url, name)[1] for name in "abc"]
    client = connect(url, heartbeat=None)

    def counts(caller: Caller) -> list[int]:
        before = [each.count for each in users]
        for _ in range(30):
            caller.get(1)
        return sorted(each.count - old for each, old in zip(users, before, strict=True))

    def advise(name: str) -> None:
        registry.configure(SERVICE, {"balancer": name})

        def is_known() -> bool:
            snapshot = client.stats.snapshot
            return snapshot is not None and snapshot.settings.get("balancer") == name

        eventually(is_known)

    advise("round_robin")
    assert counts(client) == [10, 10, 10], "the registry's"
    nearer = connect(f"{url}?balancer=consistent_hash", heartbeat=None)
    assert counts(nearer) == [0, 0, 30], "the target's"
    assert counts(nearer.using(balancer="round_robin")) == [10, 10, 10], "the call's"
    advise("nonsense")
    assert sum(counts(client)) == 30, "a mistake there stops nobody"
    assert "unknown balancer 'nonsense'" in caplog.text
    with pytest.raises(ConfigurationError, match="did you mean 'p2c'"):
        client.using(balancer="p2d")
    with pytest.raises(ConfigurationError, match="did you mean 'p2c'"):
        connect(f"{url}?balancer=p2d")


def test_a_new_instance_is_called(stack: ExitStack, url: str, connect: Callable[..., Caller]) -> None:
    serve(stack, url, "a")
    client = connect(url)
    client.get(1)
    _, second = serve(stack, url, "b")

    def reached() -> int:
        client.get(1)
        return second.count

    eventually(reached, "the new one is called")


def test_stopping_an_instance_fails_no_call(stack: ExitStack, url: str, connect: Callable[..., Caller]) -> None:
    servers = [serve(stack, url, name) for name in "abc"]
    client = connect(url)
    for server, _ in servers[:2]:
        for number in range(50):
            client.get(number + 1)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        while stopping.is_alive():
            client.get(1)
        stopping.join()
    eventually(lambda: client.get(1) and len(client.stats.endpoints) == 1)


def test_disabling_and_enabling_an_instance(stack: ExitStack, url: str, connect: Callable[..., Caller]) -> None:
    first, _ = serve(stack, url, "a", status="disabled")
    client = connect(url)
    with pytest.raises(NoInstance, match=r"no instance of UserService of .*: 1 registered, none available: 1 disabled"):
        client.get(1)
    first.enable()

    def answers() -> bool:
        try:
            client.get(1)
        except NoInstance:
            return False
        return True

    eventually(answers, "it is on")
    first.disable()
    eventually(lambda: not answers(), "it is off")


def test_an_operator_disables_an_instance(
    stack: ExitStack, url: str, connect: Callable[..., Caller], registry: Registry
) -> None:
    (server, first), (_, second) = serve(stack, url, "a"), serve(stack, url, "b")
    client = connect(url)
    registry.modify(SERVICE, f"127.0.0.1:{server.port}", status=Status.DISABLED)

    def is_known() -> bool:
        snapshot = client.stats.snapshot
        return snapshot is not None and any(each.status is Status.DISABLED for each in snapshot.instances)

    client.get(1)
    eventually(is_known)
    before = first.count
    for number in range(50):
        client.get(number + 1)
    assert first.count == before
    assert second.count >= 50


def test_a_service_without_instances(url: str, connect: Callable[..., Caller]) -> None:
    with pytest.raises(NoInstance, match=r"no instance of UserService of memory://.* for UserService.get: none is reg"):
        connect(url).get(1)


def test_a_registry_that_does_not_respond(url: str, connect: Callable[..., Caller]) -> None:
    store = memory_store(url.removeprefix("memory://"))
    store.is_down = True
    client = connect(url)
    with pytest.raises(NoInstance, match=r"cannot call UserService\.get: cannot look up instances of UserService"):
        client.using(timeout=0.3).get(1)
    store.is_down = False


def test_calls_continue_without_the_registry(stack: ExitStack, url: str, connect: Callable[..., Caller]) -> None:
    serve(stack, url, "a")
    client = connect(url)
    client.get(1)
    store = memory_store(url.removeprefix("memory://"))
    store.is_down = True
    for number in range(100):
        client.get(number + 1)
    store.is_down = False


def test_groups_and_names(stack: ExitStack, url: str, connect: Callable[..., Caller]) -> None:
    serve(stack, url, "blue one", group="blue", service="demo.Users")
    assert connect(f"{url}/demo.Users?group=blue").get(1).name == "blue one"
    with pytest.raises(NoInstance):
        connect(f"{url}/demo.Users").get(1)


def dead_port(stack: ExitStack) -> int:
    """Port without a listener, reserved while the test runs; a server may share it."""
    taken = stack.enter_context(socket.socket())
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    taken.bind(("127.0.0.1", 0))
    return int(taken.getsockname()[1])


def register_at(registry: Registry, port: int) -> None:
    registry.register(Instance(service=SERVICE, host="127.0.0.1", port=port)).wait()


def test_a_crashed_instance_fails_no_call(
    stack: ExitStack, url: str, connect: Callable[..., Caller], registry: Registry
) -> None:
    serve(stack, url, "alive")
    for _ in range(3):
        register_at(registry, dead_port(stack))
    client = connect(url)
    for number in range(200):
        assert client.get(number + 1).name == "alive"


def test_a_recovered_instance_is_called_again(
    stack: ExitStack, url: str, connect: Callable[..., Caller], registry: Registry
) -> None:
    serve(stack, url, "alive")
    port = dead_port(stack)
    register_at(registry, port)
    client = connect(url)
    eventually(lambda: client.get(1) and client.unavailable == {f"127.0.0.1:{port}"}, "it is out")
    back = Named("back")
    server = Server(user_service(back), f"127.0.0.1:{port}", reuse_port=True, grace_s=0.1, drain_s=0.01)
    stack.callback(server.stop)
    server.start()
    eventually(lambda: client.get(1) and back.count, "it is called again")
    eventually(lambda: not client.unavailable)


def closing(raw: socket.socket) -> None:
    """Read a call, and close without an answer."""
    raw.recv(65536)


def test_a_call_that_may_have_been_processed_is_not_retried(
    stack: ExitStack, url: str, connect: Callable[..., Caller], registry: Registry
) -> None:
    scripts: list[Callable[[socket.socket], None]] = [closing] * 20
    for _ in range(2):
        address = stack.enter_context(scripted_server(*scripts))
        register_at(registry, int(address.rpartition(":")[2]))
    heard: list[Decision] = []
    client = connect(url, heartbeat=None, listeners=[heard.append])
    with pytest.raises(ConnectionLost):
        client.get(1)
    assert len(attempted(heard)) == 1


def attempted(heard: list[Decision]) -> set[str]:
    """Addresses of the instances that were called."""
    return {each.instance for each in heard if isinstance(each, Attempted)}


def test_retries_can_be_disabled(
    stack: ExitStack, url: str, connect: Callable[..., Caller], registry: Registry
) -> None:
    for _ in range(3):
        register_at(registry, dead_port(stack))
    heard: list[Decision] = []
    client = connect(url, heartbeat=None, listeners=[heard.append])
    with pytest.raises(ConnectFailed):
        client.using(retries=0).get(1)
    assert len(attempted(heard)) == 1
    with pytest.raises(ConnectFailed) as caught:
        client.get(1)
    assert len(attempted(heard)) == 3
    assert "earlier attempts: tcp://127.0.0.1:" in caught.value.__notes__[0]
    with pytest.raises(ConfigurationError, match="retries must be an integer from 0 to 100"):
        client.using(retries=-1)


def test_a_target_in_errors_is_the_instance(
    stack: ExitStack, url: str, connect: Callable[..., Caller], registry: Registry
) -> None:
    port = dead_port(stack)
    register_at(registry, port)
    # The last of the attempts may come within the backoff of the others.
    said = rf"(cannot connect|not connecting) to tcp://127\.0\.0\.1:{port} for UserService\.get"
    with pytest.raises(ConnectFailed, match=said):
        connect(url).get(1)


def test_an_overloaded_instance_stays_healthy(
    stack: ExitStack, url: str, connect: Callable[..., Caller], registry: Registry
) -> None:
    users = Users()
    server = Server(user_service(users), registry=url, workers=1, max_queued=0, grace_s=0.1, drain_s=0.01)
    stack.callback(server.stop)
    stack.callback(users.gate.set)
    server.start()
    with UserServiceClient.connect(server.address, timeout=60) as busy:
        thread = threading.Thread(target=busy.wait, args=(1,))
        thread.start()
        assert users.entered.wait(60)
        client = connect(url)
        with pytest.raises(Overloaded):
            client.get(1)
        assert [each.is_available for each in client.stats.endpoints] == [True]
        users.gate.set()
        thread.join()


def test_the_registry_client_is_shared_and_released(stack: ExitStack, url: str, connect: Callable[..., Caller]) -> None:
    serve(stack, url, "a")
    before = threading.active_count()
    clients = [connect(url) for _ in range(5)]
    for client in clients:
        client.get(1)
    assert threading.active_count() <= before
    for client in clients:
        client.close()


WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
from hand_written import Users, user_service
from idlrt import Server
server = Server(user_service(Users()), registry=sys.argv[2]).start()
print(server.address, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no signals of that kind")
def test_an_instance_that_is_stopped_in_the_middle_is_left_alone(
    stack: ExitStack, connect: Callable[..., Caller]
) -> None:
    from idlrt.embedded import RegistryServer

    registry = stack.enter_context(RegistryServer())
    url = f"{registry.url}?timeout=60"  # seconds without a heartbeat: only clients notice
    folder = str(Path(__file__).parents[2] / "harness")
    command = [sys.executable, "-c", WORKER, folder, url]
    processes: dict[str, subprocess.Popen[str]] = {}
    for _ in range(3):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(process.communicate)
        stack.callback(process.kill)
        assert process.stdout is not None
        processes[process.stdout.readline().strip().removeprefix("tcp://")] = process
    observer = stack.enter_context(Registry.connect(registry.url, cache=False))
    eventually(lambda: len(observer.instances(SERVICE).instances) == 3, "all are registered")
    client = connect(registry.url, heartbeat=0.05)
    for number in range(100):
        client.get(number + 1)
    address, process = next(iter(processes.items()))
    process.send_signal(signal.SIGSTOP)

    def is_unhealthy() -> bool:
        with contextlib.suppress(DeadlineExceeded):
            client.using(timeout=0.5).get(1)
        return address in client.unavailable

    eventually(is_unhealthy, "it is out")
    for number in range(100):
        client.get(number + 1)
    process.send_signal(signal.SIGCONT)
    eventually(lambda: not client.unavailable, "it is back")
