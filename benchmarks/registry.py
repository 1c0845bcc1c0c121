"""Registries: how long a dead instance is called, how soon a new one is, and how much one registry holds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.stubs import ours, small
from benchmarks.table import Table, progress, unit

__all__ = ["run_capacity", "run_death", "run_discovery"]

HARNESS = Path(__file__).parents[1] / "tests" / "harness"
CALLERS = 4
ROUNDS = 5

DEATH_NOTE = f"""Three instances, one of which is ended by `kill -9`, while {CALLERS} threads call. `last failing call`
is when, after the kill, the last call began that failed, without any retries: the median of {ROUNDS} kills and the
longest. `failed` are calls that failed, of all kills together. `failed, idempotent` are those of a method that is
idempotent, with the client as it is by default: it tries another instance. `registry only` (3 kills): the client takes
no notice of what it sees itself, and the embedded registry removes an instance after its session (6 s). `client only`:
the session is so long that the registry never does. `both`: the defaults."""

DISCOVERY_NOTE = """A server that runs already is registered; a client that follows the service calls until it is
answered. From the beginning of registering to the end of that call, of 30. Registries of one node, with their files on
disk."""

CAPACITY_NOTE = """The embedded registry as one process, with its file on disk. `push`: one instance of a service is
changed that 1,000 subscribers follow, each over a connection of its own; from the beginning of the change until a
subscriber knows it, for all subscribers and 20 changes. They are all in one process beside it, on the same two
cores."""


@contextlib.contextmanager
def _registry(*options: str) -> Generator[tuple[str, int]]:
    """The embedded registry as a process: its URL, and its number."""
    command = [sys.executable, "-m", "idlrt", "registry", "serve", "--address", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().rpartition(" ")[2], process.pid
        finally:
            process.kill()


def _provider(stack: ExitStack, folder: Path, registry: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.registry_provider", str(folder), registry],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    process.stdout.readline()
    return process


class _Callers:
    """Threads that call all the time, and when calls began that failed."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.failed: list[float] = []
        self.count = 0
        self._call = call
        self._is_over = False
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        from idlrt import RpcError

        while not self._is_over:
            start = time.monotonic()
            try:
                self._call()
            except RpcError:
                self.failed.append(start)
                time.sleep(0.001)
            self.count += 1

    def end(self) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.join()


def run_death(folder: Path) -> Table:
    """From `kill -9` to the last call that fails."""
    stubs = ours(folder)
    logging.getLogger("idlrt").setLevel(logging.CRITICAL)  # it says what it does about a dead instance
    table = Table(
        "A dead instance",
        ["", "last failing call after the kill", "failed", "failed, idempotent"],
        DEATH_NOTE,
    )
    rows = {
        "registry only": ("", 12.0, False),
        "client only": ("?timeout=300", 2.0, True),
        "both": ("", 2.0, True),
    }
    for name, (options, seconds, looks) in rows.items():
        found = [_kill(stubs, folder, options, seconds, looks, number) for number in range(ROUNDS if looks else 3)]
        times = sorted(last for last, _, _ in found)
        table.add(
            name,
            f"{unit(times[len(times) // 2])} (longest {unit(times[-1])})",
            str(sum(failed for _, failed, _ in found)),
            str(sum(lost for _, _, lost in found)) if looks else "",
        )
    return table


def _kill(stubs: Any, folder: Path, options: str, seconds: float, looks: bool, number: int) -> tuple[float, int, int]:
    progress(f"a dead instance, kill {number + 1}")
    from idlrt.client.health import Health

    value = small(stubs.Small)
    method = stubs.EchoClient.__thrift_service__.methods["echo"]
    with ExitStack() as stack:
        registry = stack.enter_context(_registry())[0] + options
        providers = [_provider(stack, folder, registry) for _ in range(3)]
        settings: dict[str, Any] = {} if looks else {"heartbeat": None}
        strict = stack.enter_context(stubs.EchoClient.connect(registry, timeout=1.0, **settings)).using(retries=0)
        usual = stack.enter_context(stubs.EchoClient.connect(registry, timeout=5.0, **settings))
        failed = Health.failed
        if not looks:
            Health.failed = lambda self, error, now: False  # type: ignore[method-assign]
        callers = [_Callers(lambda: strict.echo(value))]
        if looks:
            method.is_idempotent = True
            callers.append(_Callers(lambda: usual.echo(value)))
        try:
            time.sleep(1.0)
            at = time.monotonic()
            os.kill(providers[0].pid, signal.SIGKILL)
            time.sleep(seconds)
        finally:
            for each in callers:
                each.end()
            Health.failed = failed  # type: ignore[method-assign]
            method.is_idempotent = False
        late = [start for start in callers[0].failed if start >= at]
        return max(late, default=at) - at, len(callers[0].failed), len(callers[1].failed) if looks else 0


def run_discovery(folder: Path) -> Table:
    """From registering to the first call."""
    table = Table("A new instance", ["", "median", "longest"], DISCOVERY_NOTE)
    with ExitStack() as stack:
        kinds: dict[str, str] = {"embedded": stack.enter_context(_registry("--data", str(folder / "r.db")))[0]}
        sys.path.insert(0, str(HARNESS))
        try:
            kinds |= _others(stack, folder)
        finally:
            sys.path.remove(str(HARNESS))
        for name, url in kinds.items():
            progress(f"a new instance: {name}")
            times = sorted(_register_and_call(folder, url) for _ in range(30))
            table.add(name, unit(times[len(times) // 2]), unit(times[-1]))
    return table


def _others(stack: ExitStack, folder: Path) -> dict[str, str]:
    """ZooKeeper and etcd, as the tests start them, as far as they are there."""
    import pytest
    from etcd_server import etcd_cluster
    from zookeeper_server import running_zookeeper

    found: dict[str, str] = {}
    try:
        zookeeper = stack.enter_context(running_zookeeper(folder / "zookeeper"))
        found["ZooKeeper"] = f"zookeeper://{zookeeper.address}"
    except pytest.skip.Exception as error:
        progress(f"without ZooKeeper: {error}")
    try:
        cluster = stack.enter_context(etcd_cluster(folder))
        found["etcd"] = cluster.url
    except pytest.skip.Exception as error:
        progress(f"without etcd: {error}")
    return found


def _register_and_call(folder: Path, url: str) -> float:
    from benchmarks.echo_server import Echo
    from idlrt import NoInstance, Server
    from idlrt.core import Instance
    from idlrt.registry import Registry

    stubs = ours(folder)
    value = small(stubs.Small)
    with (
        Server(stubs.echo(Echo())) as server,
        Registry.connect(url, cache=False) as registry,
        stubs.EchoClient.connect(f"{url.partition('?')[0]}/bench.{time.time_ns()}") as client,
    ):
        server.start()
        name = client._sender.cluster._subscription.key.service
        registry.services()  # it is connected
        with contextlib.suppress(NoInstance):
            client.echo(value)  # so is the client
        start = time.perf_counter()
        registry.register(Instance(service=name, host="127.0.0.1", port=server.port))
        while True:
            try:
                client.echo(value)
                return time.perf_counter() - start
            except NoInstance:
                time.sleep(0.0002)


def run_capacity(folder: Path) -> Table:
    """How much the embedded registry holds."""
    table = Table(
        "A registry that is full",
        ["instances", "services", "registering", "memory", "push, median", "push, p99", "longest"],
        CAPACITY_NOTE,
    )
    for instances in (1_000, 100_000):
        progress(f"a registry with {instances:,} instances")
        with _registry("--data", str(folder / f"full{instances}.db")) as (url, pid):
            before = _resident(pid)
            rate, pushes = asyncio.run(_fill_and_push(url.removeprefix("embedded://"), instances))
            grown = _resident(pid) - before
        pushes.sort()
        table.add(
            f"{instances:,}",
            f"{max(instances // 100, 1):,}",
            f"{rate:,.0f} / s",
            f"{grown / 1024 / 1024:.0f} MiB ({grown / instances / 1024:.1f} KiB each)",
            unit(pushes[len(pushes) // 2]),
            unit(pushes[int(len(pushes) * 0.99)]),
            unit(pushes[-1]),
        )
    return table


async def _fill_and_push(address: str, instances: int) -> tuple[float, list[float]]:
    from idlrt.embedded.api import AsyncRegistryClient, Record

    def record(number: int, weight: int = 100) -> Record:
        return Record(
            service=f"service{number // 100}",
            group="default",
            id=f"10.0.0.{number % 250}:{number}",
            host="10.0.0.1",
            port=9090,
            weight=weight,
            zone="eu-1",
            tags={"version": "1.2.3", "team": "payments"},
        )

    pushes: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        owner = await stack.enter_async_context(
            AsyncRegistryClient.connect(address, framing="header", timeout=60, calls_per_connection=100_000)
        )
        session = (await owner.begin("benchmark", 300_000)).id
        start = time.perf_counter()
        for first in range(0, instances, 1000):
            await asyncio.gather(*[owner.register(session, record(number)) for number in range(first, first + 1000)])
        rate = instances / (time.perf_counter() - start)
        subscribers = [
            await stack.enter_async_context(AsyncRegistryClient.connect(address, framing="header", timeout=60))
            for _ in range(1000)
        ]
        known = [await each.changes("default", "service0", 0, 0, 0) for each in subscribers]
        at = 0.0
        waiting = asyncio.Semaphore(0)

        async def follow(index: int) -> None:
            last = known[index]
            waiting.release()
            known[index] = await subscribers[index].changes("default", "service0", last.epoch, last.revision, 30_000)
            pushes.append(time.perf_counter() - at)

        for round in range(20):
            tasks = [asyncio.create_task(follow(index)) for index in range(len(subscribers))]
            await asyncio.sleep(0.5)  # all of them wait
            at = time.perf_counter()
            await owner.register(session, record(round, weight=round + 1))
            await asyncio.gather(*tasks)
    return rate, pushes


def _resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
