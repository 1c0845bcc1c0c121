"""Servers and registries that do not answer, are none, or are met at an unlucky moment."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from by_hand import pass_time
from eventually import TIMEOUT, eventually
from hand_written import Users, UserService, UserServiceClient, user_service

from idlrt import spec
from idlrt.core import Handlers, bind, serve
from idlrt.embedded import RegistryServer
from idlrt.errors import ConfigurationError
from idlrt.net import Address
from idlrt.registry import Registration, Registry
from idlrt.server import Server
from idlrt.server.registration import ServiceRegistrar

SERVICE = "UserService"
ADDRESS = Address("127.0.0.1", 20000)


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a registry that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"embedded://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("zookeper://127.0.0.1:2181", "zookeper"),
        ("embedded://127.0.0.1:7400/path", "users and paths are not supported"),
        ("embedded://127.0.0.1:7400?timeuot=3", "timeuot"),
        ("dns://127.0.0.1", "the registry is read-only"),
    ],
)
def test_a_registry_that_cannot_be_is_refused_when_the_server_is_made(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Server(user_service(Users()), registry=url)


def presence(url: str, *handlers: Handlers, **timeouts: Any) -> ServiceRegistrar:
    return ServiceRegistrar(url, {}, serve(handlers), ADDRESS, rpc_protocols={}, is_encrypted=False, **timeouts)


def test_settling_and_withdrawing_wait_for_the_registry() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    one = presence(url, user_service(Users()), register_timeout=TIMEOUT, deregister_timeout=TIMEOUT)
    with Registry.connect(url, empty_protection=False) as registry:
        one.register(ADDRESS)
        one.wait_registered()
        (instance,) = registry.instances(SERVICE).instances
        assert [each.instance for each in one.registrations] == [instance]
        one.deregister()
        assert registry.instances(SERVICE).instances == ()


def test_withdrawing_waits_once_for_all_registrations(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = [
        bind(spec.service(f"Users{number}", spec.method(UserService.ping, result=spec.VOID)), Users())
        for number in range(6)
    ]
    timeouts: list[float] = []
    deregister = Registration.deregister

    def unanswered(self: Registration, timeout: float = TIMEOUT) -> None:
        timeouts.append(timeout)
        pass_time(timeout)
        deregister(self, 0)

    monkeypatch.setattr(Registration, "deregister", unanswered)
    one = presence(silent, *handlers, register_timeout=0.0, deregister_timeout=0.2)
    one.register(ADDRESS)
    one.deregister()
    # Each is told before the first is waited for, and none of them answers.
    assert timeouts[:6] == [0] * 6
    assert len(timeouts) == 12
    assert 0 < sum(timeouts) <= 0.2


def test_a_server_that_was_withdrawn_before_it_is_announced_is_not_registered() -> None:
    """A signal may come while the server is starting."""
    url = f"memory://{uuid.uuid4().hex}"
    one = presence(url, user_service(Users()))
    with Registry.connect(url) as registry:
        one.deregister()
        one.register(ADDRESS)
        one.wait_registered()
        assert one.registrations == ()
        assert registry.instances(SERVICE).instances == ()


def test_announced_and_withdrawn_at_once() -> None:
    url = f"memory://{uuid.uuid4().hex}"

    def start(server: Server) -> None:
        with contextlib.suppress(ConfigurationError):  # it was stopped already
            server.start()

    with Registry.connect(url) as registry:
        for _ in range(30):
            with Server(user_service(Users()), registry=url, drain_s=0.0) as server:
                thread = threading.Thread(target=start, args=(server,))
                thread.start()
                server.stop()
                thread.join(TIMEOUT)
            eventually(lambda: registry.instances(SERVICE).instances == ())


PROGRAM = """
import asyncio, sys
sys.path.insert(0, {tests!r})
from hand_written import Users, user_service
from idlrt.server import AsyncServer

async def main():
    server = AsyncServer(user_service(Users()), registry={url!r})
    serving = asyncio.ensure_future(server.serve())
    await asyncio.sleep(0)
    print("started", flush=True)
    await serving
    print("stopped", flush=True)

asyncio.run(main())
"""


def test_a_signal_while_an_asyncio_server_starts_stops_it_in_good_order(silent: str) -> None:
    """CallerInfo: while it waits for its registry."""
    program = PROGRAM.format(tests=str(Path(__file__).parents[2] / "harness"), url=silent)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "stopped\n"
    assert process.returncode == 0


def test_a_child_that_stops_the_servers_of_its_parent() -> None:
    with (
        RegistryServer() as registry_server,
        Registry.connect(registry_server.url, cache=False) as registry,
        Server(user_service(Users()), registry=f"{registry_server.url}?timeout=60") as server,
    ):
        server.start()
        server.registrations[0].wait(TIMEOUT)
        with UserServiceClient.connect(registry_server.url) as client:
            client.get(1)
            pid = os.fork()
            if not pid:
                signal.alarm(60)
                try:
                    server.stop()
                    client.get(2)
                    client.close()
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert client.get(3).id == 3
            assert len(registry.instances(SERVICE).instances) == 1
