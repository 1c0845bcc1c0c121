"""Servers that no registry knows, called as one service: `tcp://h1:9090,h2:9090`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from eventually import eventually
from hand_written import AsyncUserServiceClient, UserServiceClient

from idlrt.errors import ConfigurationError, NotSent

pytestmark = pytest.mark.slow

WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
from hand_written import User, Users, user_service
from idlrt import Server, request_metadata

class Named(Users):
    def get(self, id):
        return User(id=id, name=request_metadata().get("tenant", str(server.address)))

server = Server(user_service(Named()), sys.argv[2]).start()
print(server.address, flush=True)
sys.stdin.read()
"""


class Worker:
    """Server in a separate process."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        folder = str(Path(__file__).parents[2] / "harness")
        command = [sys.executable, "-c", WORKER, folder, address]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        made = [Worker() for _ in range(2)]
        for each in made:
            stack.callback(each.kill)
        yield made


def target_of(workers: list[Worker], options: str = "") -> str:
    return "tcp://" + ",".join(each.address.removeprefix("tcp://") for each in workers) + options


def test_calls_are_spread_and_go_on_when_one_is_killed(workers: list[Worker]) -> None:
    with UserServiceClient.connect(target_of(workers, "?balancer=round_robin"), heartbeat=None, timeout=60) as users:
        counts = Counter(users.get(number).name for number in range(20))
        assert counts == {each.address: 10 for each in workers}
        workers[0].kill()
        safe = users.using(idempotent=True)
        assert {safe.get(number).name for number in range(20)} == {workers[1].address}
        workers[1].kill()
        with pytest.raises(NotSent):
            users.get(1)


def test_asyncio_clients_likewise(workers: list[Worker]) -> None:
    async def run() -> None:
        async with AsyncUserServiceClient.connect(target_of(workers), timeout=60) as users:
            found = await asyncio.gather(*(users.get(number) for number in range(60)))
            assert {each.name for each in found} == {each.address for each in workers}
            workers[0].kill()
            safe = users.using(idempotent=True)
            assert {(await safe.get(number)).name for number in range(20)} == {workers[1].address}

    asyncio.run(run())


def test_a_server_that_comes_back_is_called_again(workers: list[Worker]) -> None:
    first, second = workers
    with UserServiceClient.connect(target_of(workers, "?balancer=round_robin"), heartbeat=0.05, timeout=60) as users:
        safe = users.using(idempotent=True)
        second.kill()
        assert {safe.get(number).name for number in range(4)} == {first.address}
        again = Worker(second.address)
        try:
            eventually(lambda: safe.get(1).name == second.address)
        finally:
            again.kill()


def test_metadata_needs_a_framing_that_is_asked_for(workers: list[Worker]) -> None:
    """As with one address, the protocol is not announced."""
    tenant = {"tenant": "7"}
    with UserServiceClient.connect(target_of(workers), timeout=60) as users:
        # The default prefers the instance that answers sooner, which may be one and the same.
        fair = users.using(balancer="round_robin")
        assert {fair.get(number).name for number in range(20)} == {each.address for each in workers}
        with pytest.raises(ConfigurationError, match='framing="header"'):
            users.using(metadata=tenant).get(1)
    with UserServiceClient.connect(target_of(workers), framing="header", timeout=60) as users:
        assert {users.using(metadata=tenant).get(number).name for number in range(20)} == {"7"}
