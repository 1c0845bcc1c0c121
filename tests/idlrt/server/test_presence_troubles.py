"""Servers and registries that do not answer, are none, or are met at an unlucky moment."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hand_written import Users, UserService, UserServiceClient, user_service

from idlrt import spec
from idlrt.core import bind
from idlrt.embedded import RegistryServer
from idlrt.errors import ConfigurationError
from idlrt.registry import Registry
from idlrt.server import Server
from idlrt.server.presence import Presence

SERVICE = "UserService"


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a registry that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"embedded://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("zookeper://127.0.0.1:2181", "zookeper"),
        ("embedded://127.0.0.1:7400/path", "nothing else"),
        ("embedded://127.0.0.1:7400?timeuot=3", "timeuot"),
        ("dns://127.0.0.1", "it can only be read"),
    ],
)
def test_a_registry_that_cannot_be_is_refused_when_the_server_is_made(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Server(user_service(Users()), registry=url)


@pytest.mark.slow
def test_a_registry_that_never_answers_is_waited_for_once(silent: str) -> None:
    handlers = [
        bind(spec.service(f"Users{number}", spec.method(UserService.ping, result=spec.VOID)), Users())
        for number in range(6)
    ]
    server = Server(handlers, registry=silent, drain_s=0.0)
    server.start()
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 4.5


def test_withdrawn_before_it_is_announced() -> None:
    """A signal may come while the server is starting."""
    url = f"memory://{uuid.uuid4().hex}"
    server = Server(user_service(Users()), registry=url)
    presence = server._presence
    assert isinstance(presence, Presence)
    with Registry.connect(url) as registry, server:
        presence.withdraw()
        server.start()
        assert registry.instances(SERVICE).instances == ()
        assert server.registrations == ()


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
                thread.join(20)
            assert registry.instances(SERVICE).instances == ()


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
    """Here: while it waits for its registry."""
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
        Server(user_service(Users()), registry=registry_server.url) as server,
    ):
        server.start()
        with UserServiceClient.connect(registry_server.url) as client:
            client.get(1)
            pid = os.fork()
            if not pid:
                signal.alarm(15)
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
