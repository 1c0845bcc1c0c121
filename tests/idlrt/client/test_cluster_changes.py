"""Services of a registry whose instances change while calls are in flight."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from eventually import eventually, eventually_async
from free_ports import free_port
from hand_written import AsyncUserServiceClient, Users, UserServiceClient, scripted_server, user_service

from idlrt.client import client_stats
from idlrt.core import Call, CallNext, Decision, Instance, Picked
from idlrt.embedded import RegistryServer
from idlrt.errors import ConnectionLost, NoInstance, NotSent
from idlrt.registry import Registration, Registry, shared_registries
from idlrt.registry.url import RegistryUrl
from idlrt.server import Server

SERVICE = "UserService"
# Seconds; long enough that a test which waits for it has failed.
NEVER = 3600.0


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with Registry.connect(url, empty_protection=False) as made:
        yield made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def serve(stack: ExitStack, handler: object = None) -> Server:
    server = Server(user_service(handler or Users()), grace_s=0.2, drain_s=0.02)
    stack.callback(server.stop)
    return server.start()


def register(registry: Registry, port: int, id: str = "", **more: Any) -> Registration:
    made = registry.register(Instance(service=SERVICE, host="127.0.0.1", port=port, id=id, **more))
    made.wait()
    return made


def snapshot_shows(
    client: UserServiceClient | AsyncUserServiceClient, is_so: Callable[[tuple[Instance, ...]], object]
) -> None:
    """Wait until the registry has published instances that satisfy the condition."""

    def await_snapshot() -> object:
        snapshot = client_stats(client).snapshot
        return snapshot is not None and is_so(snapshot.instances)

    eventually(await_snapshot)


def test_the_only_instance_is_replaced_during_a_call(stack: ExitStack, url: str, registry: Registry) -> None:
    """Calls in flight on the old instance end there (`get` is not idempotent); others go to the new one."""
    port, known, is_called = serve(stack).port, threading.Event(), threading.Event()

    def die(raw: socket.socket) -> None:
        raw.recv(65536)
        is_called.set()
        known.wait(60)

    old = int(stack.enter_context(scripted_server(die)).rpartition(":")[2])
    # Its successor has another port: a token shows that it is the same instance.
    register(registry, old, "one", metadata={"instance_token": "token"})
    with UserServiceClient.connect(url, timeout=60, heartbeat=None) as client:
        found: list[object] = []

        def call() -> None:
            try:
                found.append(client.get(1))
            except ConnectionLost as error:  # `get` is not idempotent
                found.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        assert is_called.wait(60)
        with Registry.connect(url) as other:
            register(other, port, "one", metadata={"instance_token": "token"})
            snapshot_shows(client, lambda instances: instances[0].port == port)
            assert client.get(2).id == 2, "the new one"
            known.set()
            thread.join()
            assert isinstance(found[0], ConnectionLost)


def test_no_call_fails_because_its_instance_was_replaced(stack: ExitStack, url: str, registry: Registry) -> None:
    first, second = serve(stack), serve(stack)
    ports = [first.port, second.port]
    registration = register(registry, ports[0], "one")
    errors: list[Exception] = []
    is_over = False
    with UserServiceClient.connect(url, timeout=60) as client:

        def call() -> None:
            while not is_over:
                try:
                    client.get(1)
                except Exception as error:  # noqa: BLE001  # whatever it is
                    errors.append(error)
                    return

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for number in range(100):
            registration.update(port=ports[number % 2])
            registration.wait()
        is_over = True
        for thread in threads:
            thread.join()
    assert errors == []


def test_a_crashed_instance_that_was_replaced(stack: ExitStack, url: str, registry: Registry) -> None:
    """The only instance is gone; its successor is published while the call finds that out."""
    dead = free_port()
    registration = register(registry, dead, "one")
    port = serve(stack).port
    picked: list[str] = []

    def replace(decision: Decision) -> None:
        if isinstance(decision, Picked):
            picked.append(decision.instance)
            if len(picked) == 1:
                registration.update(port=port)
                snapshot_shows(client, lambda instances: instances[0].port == port)

    with UserServiceClient.connect(url, timeout=60, heartbeat=None, listeners=[replace]) as client:
        assert client.get(1).id == 1
    assert picked == [f"127.0.0.1:{dead}", f"127.0.0.1:{port}"]


def test_an_incompatible_instance_fails_no_call(stack: ExitStack, url: str, registry: Registry) -> None:
    register(registry, serve(stack).port)
    register(registry, 9, "other", protocols=("dubbo",))
    with UserServiceClient.connect(url, timeout=60) as client:
        for number in range(1, 20):
            assert client.get(number).id == number


def test_a_partially_compatible_instance_is_called(stack: ExitStack, url: str, registry: Registry) -> None:
    register(registry, serve(stack).port, protocols=("ttheader", "unframed"))
    with UserServiceClient.connect(url, timeout=60) as client:
        assert client.get(1).id == 1


@pytest.mark.parametrize("host", ["a..b", "x" * 200])
def test_an_invalid_host_fails_no_call(stack: ExitStack, url: str, registry: Registry, host: str) -> None:
    register(registry, serve(stack).port)
    registry.register(Instance(service=SERVICE, host=host, port=1, id="odd")).wait()
    with UserServiceClient.connect(url, timeout=60) as client:
        for number in range(1, 20):
            assert client.get(number).id == number

    async def main() -> None:
        async with AsyncUserServiceClient.connect(url, timeout=60) as client:
            for number in range(1, 20):
                assert (await client.get(number)).id == number

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_asyncio_client_that_is_used_from_one_loop_after_the_other(
    stack: ExitStack, url: str, registry: Registry
) -> None:
    registration = register(registry, serve(stack).port, "one")
    port = serve(stack).port
    client = AsyncUserServiceClient.connect(url, timeout=60)

    async def get(client: AsyncUserServiceClient, id: int) -> int:
        return (await client.get(id)).id

    assert asyncio.run(get(client, 1)) == 1
    # What was connected in the loop that is over cannot be closed by the next one.
    registration.update(port=port)
    snapshot_shows(client, lambda instances: instances[0].port == port)
    assert asyncio.run(get(client, 2)) == 2
    asyncio.run(client.close())
    # The transport of the first loop warns about it while the filter above is active.
    del client
    gc.collect()


def silent_registry(stack: ExitStack) -> str:
    """URL of a registry that accepts connections and does not respond."""
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return f"embedded://127.0.0.1:{listening.getsockname()[1]}"


class Entered:
    """A filter that tells when a call goes through it."""

    def __init__(self) -> None:
        self.event = threading.Event()

    async def __call__(self, call: Call, next: CallNext) -> Any:
        self.event.set()
        return await next(call)


def test_closed_while_a_call_waits_for_the_first_snapshot(stack: ExitStack) -> None:
    entered = Entered()
    client = UserServiceClient.connect(silent_registry(stack), timeout=NEVER, filters=[entered])
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(client.get, 1)
        assert entered.event.wait(60)
        client.close()
        with pytest.raises(NotSent, match="the client is closed"):
            call.result()


def test_an_asyncio_client_likewise(stack: ExitStack) -> None:
    async def main() -> None:
        entered = Entered()
        client = AsyncUserServiceClient.connect(silent_registry(stack), timeout=NEVER, filters=[entered])
        call = asyncio.ensure_future(client.get(1))
        await eventually_async(entered.event.is_set)
        await client.close()
        with pytest.raises(NotSent, match="the client is closed"):
            await call

    asyncio.run(main())


def test_closing_an_asyncio_client_does_not_hold_up_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may be the one that the registry is served on: the session there ends on another thread."""
    threads: list[int] = []
    give_back = shared_registries.release

    def noted(url: RegistryUrl) -> None:
        threads.append(threading.get_ident())
        give_back(url)

    monkeypatch.setattr(shared_registries, "release", noted)

    async def main() -> None:
        registry = RegistryServer()
        await registry.open()
        client = AsyncUserServiceClient.connect(registry.url, timeout=60)
        with pytest.raises(NoInstance, match="none is registered"):
            await client.get(1)
        await client.close()
        await registry.close()

    asyncio.run(main())
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
