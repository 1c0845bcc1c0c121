"""Bad days of a service, with real processes and real sockets: as long as one good instance is left, no call fails that
may be made again. How long it takes until calls are quick again is printed (`pytest -rP`).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy, proxied
from hand_written import AsyncUserServiceClient, UserServiceClient

from idlrt.core import Instance
from idlrt.embedded import RegistryServer
from idlrt.registry import Registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system has no signals of that kind"),
]

SERVICE = "UserService"
FOLDER = str(Path(__file__).parents[1] / "harness")
WORKER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from hand_written import Users, user_service
from idlrt import Server
said = json.loads(sys.argv[2])
with Server(user_service(Users()), drain_s=0.3, grace_s=2.0, **said) as server:
    print(server.port, flush=True)
    server.serve()
"""
# Longer than this no call takes on a good day.
SLOW = 0.1


class Fleet:
    """The instances of the service, each a process, and the registry that they are in."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        registry = stack.enter_context(RegistryServer())
        self.url = registry.url
        self.target = f"{registry.url}/{SERVICE}"
        self._observer = stack.enter_context(Registry.connect(registry.url, cache=False))
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self, *, is_told: bool = True, **instance: Any) -> tuple[subprocess.Popen[str], int]:
        """A further one, and its port.

        Args:
            is_told: whether it registers itself.
        """
        said: dict[str, Any] = {"registry": self.url, "instance": instance} if is_told else {}
        command = [sys.executable, "-c", WORKER, FOLDER, json.dumps(said)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._stack.callback(_end, process)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        self.processes.append(process)
        return process, port

    def proxied(self) -> FaultProxy:
        """A further one, behind a proxy."""
        _, port = self.begin(is_told=False)
        proxy = self._stack.enter_context(proxied(port))
        registration = self._observer.register(Instance(service=SERVICE, host="127.0.0.1", port=proxy.port))
        self._stack.callback(registration.deregister)
        return proxy

    def wait_for(self, count: int) -> None:
        """Wait until there are so many."""
        until(lambda: len(self._observer.instances(SERVICE).instances) == count, f"there are {count}")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


class Load:
    """Callers that call and call.

    Args:
        kind: of client.
        target: of the client.
        options: of its calls.
    """

    def __init__(self, kind: str, target: str, callers: int = 6, **options: Any) -> None:
        self._is_over = threading.Event()
        self._callers = callers
        self._target = target
        self._config = options.pop("config", {})
        self._options = {"idempotent": True, "timeout": 5.0, **options}
        self.calls: list[tuple[float, float]] = []
        self.failures: list[Exception] = []
        self._thread = threading.Thread(target=self._block if kind == "blocking" else self._run)
        self._thread.start()
        self.until(300)
        self.began = time.monotonic()

    def until(self, count: int) -> None:
        """Wait until so many further calls were answered."""
        wanted = len(self.calls) + count
        until(lambda: len(self.calls) >= wanted or bool(self.failures), "calls are answered")

    def go_on(self, seconds: float) -> None:
        """Let so much time pass."""
        self._is_over.wait(seconds)

    def mark(self) -> None:
        """Something happens now."""
        self.began = time.monotonic()

    def end(self, what: str) -> list[float]:
        """Stop; no call may have failed. What those have taken that were made since `mark`."""
        self._is_over.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        since = [(end, seconds) for end, seconds in self.calls if end >= self.began]
        recovered = max((end - self.began for end, seconds in since if seconds > SLOW), default=0.0)
        late = sum(seconds > SLOW for _, seconds in since)
        slowest = max(seconds for _, seconds in since)
        print(f"{what}: {len(since)} calls, {len(self.failures)} failed, {late} took longer than {SLOW:g} s, the")
        print(f"slowest {slowest:.3f} s; all were quick again after {recovered:.2f} s")
        assert self.failures == [], [f"{each!r} {getattr(each, '__notes__', '')}" for each in self.failures[:3]]
        return [seconds for _, seconds in since]

    def _note(self, start: float, error: Exception | None) -> None:
        now = time.monotonic()
        self.calls.append((now, now - start))
        if error is not None:
            self.failures.append(error)

    def _block(self) -> None:
        with UserServiceClient.connect(self._target, config=self._config) as plain:
            client = plain.using(**self._options)

            def use() -> None:
                while not self._is_over.wait(0.002):
                    start, failure = time.monotonic(), None
                    try:
                        assert client.get(7).id == 7
                    except Exception as error:  # noqa: BLE001  # is looked at
                        failure = error
                    self._note(start, failure)

            threads = [threading.Thread(target=use) for _ in range(self._callers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _run(self) -> None:
        asyncio.run(self._await())

    async def _await(self) -> None:
        async with AsyncUserServiceClient.connect(self._target, config=self._config) as plain:
            client = plain.using(**self._options)

            async def use() -> None:
                while not self._is_over.is_set():
                    start, failure = time.monotonic(), None
                    try:
                        assert (await client.get(7)).id == 7
                    except Exception as error:  # noqa: BLE001  # is looked at
                        failure = error
                    self._note(start, failure)
                    await asyncio.sleep(0.002)

            await asyncio.gather(*[use() for _ in range(self._callers)])


def until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, what
        threading.Event().wait(0.005)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def fleet(stack: ExitStack) -> Fleet:
    return Fleet(stack)


@pytest.fixture(params=["blocking", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def load(kind: str, stack: ExitStack) -> Callable[..., Load]:
    def make(target: str, **options: Any) -> Load:
        made = Load(kind, target, **options)
        stack.callback(made._is_over.set)
        return made

    return make


def test_an_instance_is_killed(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    for _ in range(3):
        fleet.begin()
    fleet.wait_for(3)
    callers = load(fleet.target)
    callers.mark()
    fleet.processes[0].kill()
    callers.go_on(1.5)
    callers.until(200)
    took = callers.end(f"one of three killed, {kind}")
    assert max(took) < 2.0


def test_all_but_one_are_killed_one_after_the_other(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    for _ in range(4):
        fleet.begin()
    fleet.wait_for(4)
    callers = load(fleet.target)
    callers.mark()
    for process in fleet.processes[:3]:
        process.kill()
        callers.go_on(0.5)
    callers.until(200)
    callers.end(f"three of four killed, {kind}")


PAUSED: dict[str, dict[str, Any]] = {
    "failover": {"attempt_timeout": 0.3},
    # When the allowance is spent calls wait for who is paused, and that is for less than their timeout here.
    "hedge": {"fault": "hedge", "policy": {"hedge": {"extra_load": 0.2}}},
    "both": {"fault": "hedge", "attempt_timeout": 0.3},
}


@pytest.mark.parametrize("mode", PAUSED)
def test_an_instance_is_paused(fleet: Fleet, load: Callable[..., Load], kind: str, mode: str) -> None:
    for _ in range(3):
        fleet.begin()
    fleet.wait_for(3)
    callers = load(fleet.target, **PAUSED[mode])
    callers.mark()
    fleet.processes[0].send_signal(signal.SIGSTOP)
    callers.go_on(2.5)
    if mode != "hedge":
        callers.until(200)
    fleet.processes[0].send_signal(signal.SIGCONT)
    callers.until(200)
    callers.end(f"one of three paused, {mode}, {kind}")


SLOWED: dict[str, tuple[dict[str, Any], float]] = {
    # Two choices of three are both the slow one for a ninth of the calls.
    "failover": ({}, 0.25),
    # Blocking losers go on, and those behind them wait for a connection: an attempt has to end before the call does.
    "hedge": ({"fault": "hedge", "attempt_timeout": 1.0, "policy": {"hedge": {"extra_load": 0.3}}}, 0.08),
}


@pytest.mark.parametrize("mode", SLOWED)
def test_an_instance_is_slow(fleet: Fleet, load: Callable[..., Load], kind: str, mode: str) -> None:
    for _ in range(2):
        fleet.begin()
    proxy = fleet.proxied()
    fleet.wait_for(3)
    options, share = SLOWED[mode]
    callers = load(fleet.target, **options)
    callers.mark()
    proxy.latency = 0.2
    callers.go_on(2.5)
    took = callers.end(f"one of three 0.4 s slower, {mode}, {kind}")
    assert sum(seconds > SLOW for seconds in took) < len(took) * share


def test_all_are_restarted_one_after_the_other(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    for _ in range(3):
        fleet.begin()
    fleet.wait_for(3)
    callers = load(fleet.target)
    callers.mark()
    for old in list(fleet.processes):
        fleet.begin()
        fleet.wait_for(4)
        old.send_signal(signal.SIGTERM)
        fleet.wait_for(3)
        assert old.wait(20) in (0, -signal.SIGTERM)
    callers.until(200)
    took = callers.end(f"all three replaced, {kind}")
    assert max(took) < 2.0


def test_a_zone_dies(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    for zone in ("eu-1", "eu-1", "eu-2", "eu-2"):
        fleet.begin(zone=zone)
    fleet.wait_for(4)
    callers = load(fleet.target, config={"here": {"zone": "eu-1"}})
    callers.mark()
    for process in fleet.processes[:2]:
        os.kill(process.pid, signal.SIGKILL)
    callers.go_on(1.5)
    callers.until(200)
    callers.end(f"the zone of the caller gone, {kind}")


def test_a_zone_falls_silent(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    for zone in ("eu-1", "eu-1", "eu-2", "eu-2"):
        fleet.begin(zone=zone)
    fleet.wait_for(4)
    callers = load(fleet.target, config={"here": {"zone": "eu-1"}}, attempt_timeout=0.3, retries=4)
    callers.mark()
    for process in fleet.processes[:2]:
        process.send_signal(signal.SIGSTOP)
    callers.go_on(2.5)
    callers.until(200)
    callers.end(f"the zone of the caller silent, {kind}")
