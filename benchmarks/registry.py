"""Registries: time until a dead instance is avoided and a new one is called, and the capacity of one registry."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.registries import embedded_registry, other_registries
from benchmarks.size import FULL, Size
from benchmarks.stubs import ours, small
from benchmarks.table import Table, progress, unit
from benchmarks.workers import Process, Threads, WorkerError, background, python

__all__ = ["run_capacity", "run_death", "run_discovery"]

CALLERS = 4
_CALLS_TIMEOUT = 60.0
_DISCOVERY_TIMEOUT = 60.0

DEATH_NOTE = """Three instances, one of which is ended by `kill -9`, while {callers} threads call. `last failing call`
is when, after the kill, the last call began that failed, without any retries: the median of {kills} kills and the
longest. `calls` and `failed` are of all kills together. `failed, idempotent` are those of a method that is
idempotent, with the client as it is by default: it tries another instance. `registry only` (kills:
{kills_registry}): the client ignores its own view of the instances, and the embedded registry removes an instance after
its session ({session:g} s). `client only`: the session is so long that the registry never does. `both`: the
defaults."""

DISCOVERY_NOTE = """A server that runs already is registered; a client that follows the service calls until it is
answered. From the beginning of registering to the end of that call, of {instances}. Registries of one node, with their
files on disk."""

CAPACITY_NOTE = """The embedded registry as one process, with its file on disk. `push`: one instance of a service is
changed that {subscribers:,} subscribers follow, each over a separate connection; from the beginning of the change
until a subscriber knows it, for all subscribers and {pushes} changes. They are all in one process beside it, on the
same two cores."""


class _Callers:
    """Threads that call until they are stopped.

    Attributes:
        count: calls that have ended.
        failed: start times of failed calls, on the monotonic clock.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self.count = 0
        self.failed: list[float] = []
        self._call = call
        self._is_over = threading.Event()

    @property
    def succeeded(self) -> int:
        """Calls that have not failed."""
        return self.count - len(self.failed)

    def threads(self) -> list[Callable[[], None]]:
        """Return what the threads run."""
        return [self._run] * CALLERS

    def _run(self) -> None:
        from idlrt import RpcError

        while not self._is_over.is_set():
            start = time.monotonic()
            try:
                self._call()
            except RpcError:
                self.failed.append(start)
                time.sleep(0.001)
            self.count += 1

    def stop(self) -> None:
        """Stop the threads."""
        self._is_over.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A way to detect a dead instance: one row of the table."""

    name: str
    kills: int
    seconds: float
    session: float | None
    has_health_checks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Death:
    """One kill."""

    last: float
    calls: int
    failed: int
    failed_idempotent: int


# Makes a client call all instances that the registry lists: it sends no pings, and one unhealthy instance triggers
# panic mode, in which all instances are called.
_NO_HEALTH_CHECKS: dict[str, Any] = {
    "heartbeat": None,
    "policy": {"panic_threshold": 1.0, "ejection": {"consecutive_failures": 0}},
}


def run_death(folder: Path, size: Size = FULL) -> Table:
    """Measure the time from `kill -9` to the last call that fails."""
    stubs = ours(folder)
    note = DEATH_NOTE.format(
        callers=CALLERS, kills=size.death_kills, kills_registry=size.death_kills_registry, session=size.death_session
    )
    head = ["", "last failing call after the kill", "calls", "failed", "failed, idempotent"]
    table = Table("A dead instance", head, note)
    rows = [
        _View(
            name="registry only",
            kills=size.death_kills_registry,
            seconds=size.death_wait_registry,
            session=size.death_session,
            has_health_checks=False,
        ),
        _View(name="client only", kills=size.death_kills, seconds=size.death_wait, session=300, has_health_checks=True),
        _View(
            name="both",
            kills=size.death_kills,
            seconds=size.death_wait,
            session=size.death_session,
            has_health_checks=True,
        ),
    ]
    for view in rows:
        found = []
        for number in range(view.kills):
            progress(f"a dead instance, {view.name}, kill {number + 1}")
            with _quiet():
                found.append(_kill(stubs, folder, view))
        times = sorted(each.last for each in found)
        table.add(
            view.name,
            f"{unit(times[len(times) // 2])} (longest {unit(times[-1])})",
            f"{sum(each.calls for each in found):,}",
            str(sum(each.failed for each in found)),
            str(sum(each.failed_idempotent for each in found)) if view.has_health_checks else "",
        )
    return table


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Do not log what clients do about a dead instance."""
    log = logging.getLogger("idlrt")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _kill(stubs: Any, folder: Path, view: _View) -> _Death:
    value = small(stubs.Small)
    settings: dict[str, Any] = {} if view.has_health_checks else _NO_HEALTH_CHECKS
    with ExitStack() as stack:
        url, _ = stack.enter_context(embedded_registry())
        registry = f"{url}?timeout={view.session:g}" if view.session else url
        providers = [stack.enter_context(_provider(folder, registry)) for _ in range(3)]
        # Two clients, so that neither benefits from what the other has seen.
        strict = stack.enter_context(stubs.EchoClient.connect(registry, timeout=1.0, **settings)).using(retries=0)
        usual = stack.enter_context(stubs.EchoClient.connect(registry, timeout=5.0, **settings))
        plain = _Callers(lambda: strict.echo(value))
        idempotent = _Callers(lambda: usual.echo_idempotent(value))
        callers = [plain, idempotent] if view.has_health_checks else [plain]

        def stop() -> None:
            for each in callers:
                each.stop()

        with Threads(*[run for each in callers for run in each.threads()], stop=stop) as threads:
            _wait_for_calls(threads, callers)
            threads.sleep(1.0)
            at = time.monotonic()
            providers[0].kill()
            threads.sleep(view.seconds)
            _wait_for_calls(threads, callers)
        late = [start for start in plain.failed if start >= at]
        return _Death(
            last=max(late, default=at) - at,
            calls=sum(each.count for each in callers),
            failed=len(plain.failed),
            failed_idempotent=len(idempotent.failed),
        )


def _wait_for_calls(threads: Threads, callers: Sequence[_Callers]) -> None:
    """Wait until some more calls of each caller have succeeded."""
    end = time.monotonic() + _CALLS_TIMEOUT
    least = [each.succeeded + 2 * CALLERS for each in callers]
    while any(each.succeeded < count for each, count in zip(callers, least, strict=True)):
        if time.monotonic() > end:
            raise WorkerError(f"no calls succeeded within {_CALLS_TIMEOUT:g} s")
        threads.sleep(0.01)


def _provider(folder: Path, registry: str) -> contextlib.AbstractContextManager[Process]:
    return background(python("benchmarks.registry_provider", str(folder), registry))


def run_discovery(folder: Path, size: Size = FULL) -> Table:
    """Measure the time from registering to the first call."""
    note = DISCOVERY_NOTE.format(instances=size.discovery_instances)
    table = Table("A new instance", ["", "median", "longest"], note)
    with ExitStack() as stack:
        embedded, _ = stack.enter_context(embedded_registry("--data", str(folder / "r.db")))
        others, missing = other_registries(stack, folder)
        if missing:
            table.note += f" Left out: {', '.join(missing)}."
        for name, url in {"embedded": embedded, **others}.items():
            progress(f"a new instance: {name}")
            times = sorted(_register_and_call(folder, url) for _ in range(size.discovery_instances))
            table.add(name, unit(times[len(times) // 2]), unit(times[-1]))
    return table


def _register_and_call(folder: Path, url: str) -> float:
    from benchmarks.echo_server import Echo
    from idlrt import NoInstance, Server
    from idlrt.core import Instance
    from idlrt.registry import Registry

    stubs = ours(folder)
    value = small(stubs.Small)
    service = f"bench.{time.time_ns()}"
    with (
        Server(stubs.echo(Echo())) as server,
        Registry.connect(url, cache=False) as registry,
        stubs.EchoClient.connect(f"{url.partition('?')[0]}/{service}", timeout=_DISCOVERY_TIMEOUT) as client,
    ):
        server.start()
        registry.services()  # so that it is connected
        with contextlib.suppress(NoInstance):
            client.echo(value)  # so that the client is, too
        start = time.perf_counter()
        registry.register(Instance(service=service, host="127.0.0.1", port=server.port))
        while time.perf_counter() - start < _DISCOVERY_TIMEOUT:
            try:
                client.echo(value)
                return time.perf_counter() - start
            except NoInstance:
                time.sleep(0.0002)
    raise TimeoutError(f"{service}: no instance found within {_DISCOVERY_TIMEOUT:g} s")


def run_capacity(folder: Path, size: Size = FULL) -> Table:
    """Measure the capacity of the embedded registry."""
    note = CAPACITY_NOTE.format(subscribers=size.capacity_subscribers, pushes=size.capacity_pushes)
    table = Table(
        "Registry capacity",
        ["instances", "services", "registering", "memory", "push, median", "push, p99", "longest"],
        note,
    )
    for instances in size.capacity_instances:
        progress(f"a registry with {instances:,} instances")
        with embedded_registry("--data", str(folder / f"full{instances}.db")) as (url, registry):
            before = _resident(registry.pid)
            rate, pushes = asyncio.run(_fill_and_push(url.removeprefix("embedded://"), instances, size))
            grown = _resident(registry.pid) - before
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


async def _fill_and_push(address: str, instances: int, size: Size) -> tuple[float, list[float]]:
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
            numbers = range(first, min(first + 1000, instances))
            await asyncio.gather(*[owner.register(session, record(number)) for number in numbers])
        rate = instances / (time.perf_counter() - start)
        subscribers = [
            await stack.enter_async_context(AsyncRegistryClient.connect(address, framing="header", timeout=60))
            for _ in range(size.capacity_subscribers)
        ]
        known = [await each.changes("default", "service0", 0, 0, 0) for each in subscribers]
        at = 0.0

        async def follow(index: int) -> None:
            last = known[index]
            known[index] = await subscribers[index].changes("default", "service0", last.epoch, last.revision, 30_000)
            pushes.append(time.perf_counter() - at)

        for round in range(size.capacity_pushes):
            async with asyncio.TaskGroup() as group:
                for index in range(len(subscribers)):
                    group.create_task(follow(index))
                await asyncio.sleep(0.5)  # so that all of them wait
                at = time.perf_counter()
                await owner.register(session, record(round, weight=round + 1))
    return rate, pushes


def _resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
