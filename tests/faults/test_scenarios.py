"""Failures of instances, with real processes and real sockets: as long as one good instance is left, no idempotent call
fails.

How long calls took, and after which time they were quick again, is printed (`pytest -rP`) and not asserted: it says as
much of the machine as of the client. Attempt timeouts of a second may expire for good instances as well when the
machine is busy, so calls have many retries.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from fault_proxy import FaultProxy, proxied
from hand_written import AsyncUserServiceClient, UserServiceClient

from idlrt import client_stats
from idlrt.core import Attempted, Decision, Instance, Picked, Retrying
from idlrt.embedded import RegistryServer
from idlrt.registry import Registry

pytestmark = [
    pytest.mark.long,
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
# Calls that take longer are counted in what is printed, in seconds.
SLOW = 0.1
CALLERS = 6


class Fleet:
    """The instances of the service, each a process, and the registry that they are in."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        registry = stack.enter_context(RegistryServer())
        self.url = registry.url
        self.target = f"{registry.url}/{SERVICE}"
        self._observer = stack.enter_context(Registry.connect(f"{registry.url}?timeout=60", cache=False))
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self, *, is_told: bool = True, **instance: Any) -> tuple[subprocess.Popen[str], int]:
        """A further one, and its port.

        Args:
            is_told: whether it registers itself.
        """
        said: dict[str, Any] = {"registry": f"{self.url}?timeout=60", "instance": instance} if is_told else {}
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
        """Wait until `count` instances are registered."""
        eventually(
            lambda: len(self._observer.instances(SERVICE).instances) == count, f"{count} instances are registered"
        )


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


class Load:
    """Callers that call without end, six at a time.

    Args:
        kind: `blocking` or `asyncio`.
        target: of the client.
        options: of its calls.

    Attributes:
        decisions: about calls and instances.
    """

    def __init__(self, kind: str, target: str, config: Mapping[str, Any] | None = None, **options: Any) -> None:
        self._is_over = threading.Event()
        self._connect: dict[str, Any] = {
            "config": config or {},
            # Retries are limited by their number only.
            "policy": {"budget": {"ratio": 1000, "min_retries_per_second": 1000}},
            "listeners": [self._decided],
        }
        self._target = target
        self._options = {"idempotent": True, "timeout": TIMEOUT, "retries": 20, **options}
        self._client: UserServiceClient | AsyncUserServiceClient | None = None
        self.calls: list[tuple[float, float]] = []
        self.failures: list[Exception] = []
        self.decisions: list[Decision] = []
        self._thread = threading.Thread(target=self._block if kind == "blocking" else self._run)
        self._thread.start()
        self.until(100)
        self.began = time.monotonic()

    def _decided(self, decision: Decision) -> None:
        if not isinstance(decision, Picked):
            self.decisions.append(decision)

    def until(self, count: int) -> None:
        """Wait until `count` more calls have ended."""
        wanted = len(self.calls) + count
        eventually(lambda: len(self.calls) >= wanted or bool(self.failures), "calls end")

    def until_available(self, *ports: int, expected: bool = True) -> None:
        """Wait until the client calls the instances at `ports`, or does not."""
        addresses = {f"127.0.0.1:{port}" for port in ports}

        def is_so() -> bool:
            assert self._client is not None
            found = {each.address for each in client_stats(self._client).endpoints if each.is_available}
            return addresses <= found if expected else not addresses & found

        eventually(lambda: is_so() or bool(self.failures), f"{ports}: {'' if expected else 'un'}available")

    def until_decided(self, is_wanted: Callable[[Decision], bool], what: str) -> None:
        """Wait until there was such a decision."""
        eventually(lambda: any(map(is_wanted, self.decisions.copy())) or bool(self.failures), what)

    def mark(self) -> None:
        """Something happens now."""
        self.began = time.monotonic()

    def end(self, what: str) -> None:
        """Stop; no call may have failed."""
        self.stop()
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()
        since = [(end, seconds) for end, seconds in self.calls if end >= self.began]
        recovered = max((end - self.began for end, seconds in since if seconds > SLOW), default=0.0)
        late = sum(seconds > SLOW for _, seconds in since)
        slowest = max(seconds for _, seconds in since)
        print(f"{what}: {len(since)} calls, {len(self.failures)} failed, {late} took longer than {SLOW:g} s, the")
        print(f"slowest {slowest:.3f} s; all were quick again after {recovered:.2f} s")
        assert self.failures == [], [f"{each!r} {getattr(each, '__notes__', '')}" for each in self.failures[:3]]

    def stop(self) -> None:
        """Make no more calls."""
        self._is_over.set()

    def _note(self, start: float, error: Exception | None) -> None:
        now = time.monotonic()
        if error is not None:
            self.failures.append(error)
        self.calls.append((now, now - start))

    def _block(self) -> None:
        with UserServiceClient.connect(self._target, **self._connect) as plain:
            self._client = plain
            client = plain.using(**self._options)

            def use() -> None:
                while not self._is_over.wait(0.002):
                    start, failure = time.monotonic(), None
                    try:
                        assert client.get(7).id == 7
                    except Exception as error:  # noqa: BLE001  # is looked at
                        failure = error
                    self._note(start, failure)

            threads = [threading.Thread(target=use) for _ in range(CALLERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _run(self) -> None:
        asyncio.run(self._await())

    async def _await(self) -> None:
        async with AsyncUserServiceClient.connect(self._target, **self._connect) as plain:
            self._client = plain
            client = plain.using(**self._options)

            async def use() -> None:
                while not self._is_over.is_set():
                    start, failure = time.monotonic(), None
                    try:
                        assert (await client.get(7)).id == 7
                    except Exception as error:  # noqa: BLE001  # is looked at
                        failure = error
                    self._note(start, failure)
                    # The pace of a caller.
                    await asyncio.sleep(0.002)

            await asyncio.gather(*[use() for _ in range(CALLERS)])


def is_hedged(decision: Decision) -> bool:
    return isinstance(decision, Retrying) and decision.mode == "hedge"


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
        stack.callback(made.stop)
        return made

    return make


def test_an_instance_is_killed(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    (victim, port), *_ = [fleet.begin() for _ in range(3)]
    fleet.wait_for(3)
    callers = load(fleet.target)
    callers.until_available(port)
    callers.mark()
    victim.kill()
    callers.until_available(port, expected=False)
    callers.until(100)
    callers.end(f"one of three killed, {kind}")


def test_all_but_one_are_killed_one_after_the_other(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    *victims, _ = [fleet.begin() for _ in range(4)]
    fleet.wait_for(4)
    callers = load(fleet.target)
    callers.mark()
    for process, port in victims:
        callers.until_available(port)
        process.kill()
        callers.until_available(port, expected=False)
    callers.until(100)
    callers.end(f"three of four killed, {kind}")


PAUSED: dict[str, dict[str, Any]] = {
    "failover": {"attempt_timeout": 1.0},
    # When the allowance is spent calls wait for the instance that is paused.
    "hedge": {"fault": "hedge", "policy": {"hedge": {"max_extra_load": 0.2}}},
    "both": {"fault": "hedge", "attempt_timeout": 1.0},
}


@pytest.mark.parametrize("mode", PAUSED)
def test_an_instance_is_paused(fleet: Fleet, load: Callable[..., Load], kind: str, mode: str) -> None:
    (paused, port), *_ = [fleet.begin() for _ in range(3)]
    fleet.wait_for(3)
    callers = load(fleet.target, **PAUSED[mode])
    callers.until_available(port)
    callers.mark()
    paused.send_signal(signal.SIGSTOP)
    if mode == "hedge":
        callers.until_decided(is_hedged, "a call is hedged")
    else:
        callers.until_available(port, expected=False)
        callers.until(100)
    paused.send_signal(signal.SIGCONT)
    callers.until(100)
    callers.end(f"one of three paused, {mode}, {kind}")


SLOWED: dict[str, dict[str, Any]] = {
    "failover": {},
    # Blocking losers go on, and those behind them wait for a connection: an attempt has to end before the call does.
    "hedge": {"fault": "hedge", "attempt_timeout": 1.0, "policy": {"hedge": {"max_extra_load": 0.3}}},
}


@pytest.mark.parametrize("mode", SLOWED)
def test_an_instance_is_slow(fleet: Fleet, load: Callable[..., Load], kind: str, mode: str) -> None:
    for _ in range(2):
        fleet.begin()
    proxy = fleet.proxied()
    fleet.wait_for(3)
    callers = load(fleet.target, **SLOWED[mode])
    callers.mark()
    proxy.latency = 0.2
    start = len(callers.decisions)

    def is_answered_late(decision: Decision) -> bool:
        # 0.4 s by construction, unless the call was under way before.
        slow = f"127.0.0.1:{proxy.port}"
        return isinstance(decision, Attempted) and decision.instance == slow and decision.seconds >= 0.4

    if mode == "hedge":
        eventually(lambda: any(map(is_hedged, callers.decisions[start:])) or bool(callers.failures), "a call is hedged")
    else:
        callers.until_decided(is_answered_late, "the slow instance has replied")
    callers.until(100)
    callers.end(f"one of three 0.4 s slower, {mode}, {kind}")


def test_all_are_restarted_one_after_the_other(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    for _ in range(3):
        fleet.begin()
    fleet.wait_for(3)
    callers = load(fleet.target)
    callers.mark()
    for old in list(fleet.processes):
        _, port = fleet.begin()
        fleet.wait_for(4)
        callers.until_available(port)
        old.send_signal(signal.SIGTERM)
        fleet.wait_for(3)
        assert old.wait(TIMEOUT) in (0, -signal.SIGTERM)
    callers.until(100)
    callers.end(f"all three replaced, {kind}")


def test_a_zone_dies(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    found = [fleet.begin(zone=zone) for zone in ("eu-1", "eu-1", "eu-2", "eu-2")]
    fleet.wait_for(4)
    callers = load(fleet.target, config={"caller": {"zone": "eu-1"}})
    callers.mark()
    for process, _ in found[:2]:
        process.kill()
    callers.until_available(*[port for _, port in found[:2]], expected=False)
    callers.until(100)
    callers.end(f"the zone of the caller gone, {kind}")


def test_a_zone_falls_silent(fleet: Fleet, load: Callable[..., Load], kind: str) -> None:
    found = [fleet.begin(zone=zone) for zone in ("eu-1", "eu-1", "eu-2", "eu-2")]
    fleet.wait_for(4)
    callers = load(fleet.target, config={"caller": {"zone": "eu-1"}}, attempt_timeout=1.0)
    callers.mark()
    for process, _ in found[:2]:
        process.send_signal(signal.SIGSTOP)
    callers.until_available(*[port for _, port in found[:2]], expected=False)
    callers.until(100)
    callers.end(f"the zone of the caller silent, {kind}")
