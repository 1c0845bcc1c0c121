"""The admin port beside its server: while that blocks, drains, stops, forks, or cannot start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from admin_requests import failing, passing, request, status
from by_hand import FOREVER
from eventually import TIMEOUT, eventually
from hand_written import AsyncUsers, Users, UserServiceClient, user_service
from registry_process import registry_process

from idlrt import AsyncServer, ProcessServer, Server
from idlrt.errors import ConfigurationError, RpcError
from idlrt.registry import Registry
from idlrt.server.admin.checks import LoopCheck, run_all


def in_background(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def test_a_blocked_loop_fails_livez_until_it_runs_again() -> None:
    users = Users()
    with Server(user_service(users), admin=0) as server:
        server.start()
        with UserServiceClient.connect(server.address) as client:
            calling = in_background(lambda: client.wait(1))
            assert users.entered.wait(TIMEOUT)
            found = request(server, "/livez")
            assert found.status == 503
            assert found.lines == [
                "[+]ping ok",
                "[-]loop failed: the server's loop did not answer within 1 s",
                "livez check failed",
            ]
            passing(server, "/readyz?exclude=loop")
            assert status(server)["state"] == "serving", "pages answer all the while"
            users.gate.set()
            calling.join(TIMEOUT)
            passing(server, "/livez")


def test_a_blocked_event_loop_fails_livez_until_it_runs_again() -> None:
    users = Users()

    async def run() -> None:
        async with AsyncServer(user_service(users), admin=0) as server:
            with UserServiceClient.connect(server.address) as client:
                outcome: list[int] = []

                def look() -> None:
                    calling = in_background(lambda: client.wait(1))
                    assert users.entered.wait(TIMEOUT)
                    outcome.append(request(server, "/livez").status)
                    users.gate.set()
                    calling.join(TIMEOUT)
                    outcome.append(request(server, "/livez").status)

                await asyncio.to_thread(look)
                assert outcome == [503, 200]

    asyncio.run(run())


def test_many_probes_of_a_blocked_loop_leave_one_request_in_it() -> None:
    asked: list[Callable[[], object]] = []
    check = LoopCheck(asked.append, lambda: False)

    async def run() -> None:
        for result in await run_all([check, check], 0.01):
            assert result.reason == "the server's loop did not answer within 0.01 s"
        assert len(await run_all([check], 0.01)) == len(asked) == 1
        waiting = asyncio.create_task(run_all([check], TIMEOUT))
        await asyncio.sleep(0)
        asked[0]()
        assert [each.reason for each in await waiting] == [""]

    asyncio.run(run())


def test_readiness_fails_first_and_the_port_closes_last() -> None:
    users = AsyncUsers()
    with Server(user_service(users), admin=0, grace_s=FOREVER) as server:
        server.start()
        url = server.admin_address
        with UserServiceClient.connect(server.address) as client:
            in_background(lambda: client.wait(1))
            assert users.entered.wait(TIMEOUT)
            stopping = in_background(server.stop)
            found = failing(url, "/readyz")
            assert "[-]serving failed: draining" in found.lines
            eventually(lambda: server.is_draining, "it drains")
            assert (request(url, "/livez").status, request(url, "/startupz").status) == (200, 200)
            assert status(url)["state"] == "draining"
            assert status(url)["in_flight"] == 1
            assert stopping.is_alive()
            users.release(1)
            stopping.join(TIMEOUT)
        with pytest.raises(ConnectionRefusedError):
            request(url, "/livez")


def test_an_asyncio_server_drains_in_the_same_order() -> None:
    users = AsyncUsers()

    async def run() -> None:
        server = await AsyncServer(user_service(users), admin=0, grace_s=FOREVER).start()
        url = server.admin_address
        with UserServiceClient.connect(server.address) as client:
            in_background(lambda: client.wait(1))
            await asyncio.to_thread(users.entered.wait, TIMEOUT)
            stopping = asyncio.create_task(server.stop())
            await asyncio.sleep(0)
            found = await asyncio.to_thread(request, url, "/readyz")
            assert "[-]serving failed: draining" in found.lines
            assert (await asyncio.to_thread(request, url, "/livez")).status == 200
            assert not stopping.done()
            users.release(1)
            await stopping
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(request, url, "/livez")

    asyncio.run(run())


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_in_use_is_reported_before_serving(taken: int) -> None:
    message = rf"cannot listen on tcp://127\.0\.0\.1:{taken} for the admin port: Address already in use"
    server = Server(user_service(Users()), admin=taken)
    with pytest.raises(ConfigurationError, match=message):
        server.bind()
    server.stop()
    with pytest.raises(ConfigurationError, match=message):
        asyncio.run(started(AsyncServer(user_service(Users()), admin=taken)))
    with pytest.raises(ConfigurationError, match=message):
        ProcessServer(user_service(Users()), processes=2, admin=taken).bind()


async def started(server: AsyncServer) -> None:
    await server.start()


@pytest.mark.parametrize("processes", [0, 2])
def test_the_admin_port_is_released_if_the_server_cannot_listen(taken: int, processes: int) -> None:
    address = f"127.0.0.1:{taken}"
    with socket.create_server(("127.0.0.1", 0)) as unused:
        admin = unused.getsockname()[1]
    server: Server | ProcessServer = (
        ProcessServer(user_service(Users()), address, processes=processes, admin=admin)
        if processes
        else Server(user_service(Users()), address, admin=admin)
    )
    with pytest.raises(ConfigurationError, match=f"cannot listen on tcp://{address}: "):
        server.bind()
    with Server(user_service(Users()), admin=admin) as other:
        assert other.start().admin_address.endswith(f":{admin}")


def test_a_server_that_never_starts_releases_the_port() -> None:
    with Server(user_service(Users()), admin=0) as server:
        port = int(server.admin_address.rpartition(":")[2])
    with Server(user_service(Users()), admin=port) as other:
        other.start()
        passing(other, "/livez")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_forked_child_does_not_hold_the_port() -> None:
    reader, writer = os.pipe()
    with Server(user_service(Users()), admin=0) as server:
        server.start()
        url = server.admin_address
        child = os.fork()
        if not child:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
        passing(url, "/livez")
    try:
        with Server(user_service(Users()), admin=url.removeprefix("http://")) as other:
            other.start()
            passing(other, "/livez")
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def shows(registry: Registry, status: str) -> bool:
    return [each.status for each in registry.instances("UserService").instances] == [status]


def test_rotation_follows_the_registry() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    with Registry.connect(url) as registry, Server(user_service(Users()), admin=0, registry=url) as server:
        server.start()
        passing(server, "/readyz")
        assert "[+]registered ok" in request(server, "/readyz?verbose").lines
        for page, wanted in (("/disable", "disabled"), ("/enable", "up")):
            found = request(server, page, "POST", "{}", content_type="application/json")
            assert (found.status, found.text) == (200, f'{{"status": "{wanted}"}}\n')
            eventually(partial(shows, registry, wanted), f"the registry shows {wanted}")
            assert status(server)["registrations"][0]["status"] == wanted
        assert status(server)["registry"] == {"url": url, "is_connected": True, "error": None}


def test_readiness_fails_while_the_server_was_never_registered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"embedded://127.0.0.1:{silent.getsockname()[1]}"
        with Server(user_service(Users()), admin=0, registry=url) as server:
            server.start()
            found = request(server, "/readyz")
            assert found.status == 503
            assert any(line.startswith("[-]registered failed: UserService is pending") for line in found.lines)
            passing(server, "/livez")


def test_an_outage_of_the_registry_does_not_end_readiness() -> None:
    with registry_process() as store, Server(user_service(Users()), admin=0, registry=store.url) as server:
        server.start()
        passing(server, "/readyz")
        store.kill()
        eventually(lambda: status(server)["registry"]["error"] is not None, "the outage is noticed")
        passing(server, "/readyz")


def test_a_signal_fails_readiness_before_the_process_ends() -> None:
    program = (
        "import sys, threading\n"
        "from hand_written import AsyncUsers, user_service\n"
        "from idlrt import Server\n"
        "server = Server(user_service(AsyncUsers()), admin=0, grace_s=3600)\n"
        "with server:\n"
        "    print(server.address, server.admin_address, flush=True)\n"
        "    server.serve()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            address, url = process.stdout.readline().split()
            with UserServiceClient.connect(address) as client:

                def call() -> None:
                    with contextlib.suppress(RpcError):  # the process is killed
                        client.wait(1)

                in_background(call)
                eventually(lambda: status(url)["in_flight"] == 1, "a call is in flight")
                process.terminate()
                failing(url, "/readyz")
                passing(url, "/livez")
        finally:
            process.kill()
