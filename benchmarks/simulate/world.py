"""Servers, clients, a registry and load, in virtual time. The client side is the real code: `Cluster` with its routers,
balancers, fault modes, breakers, retry budgets and outlier detection, behind the call path of generated clients. The
network, the servers and the clock are simulated.

Each client has a separate view: the latencies that it has measured, its calls in flight, and the last snapshot that it
received.
"""

from __future__ import annotations

import gc
import logging
import math
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count, cycle
from typing import Any, Final

import msgspec

from benchmarks.simulate.driver import EventDriver, Task
from benchmarks.simulate.figures import SCALE, SHIFT, Result, Tally
from benchmarks.simulate.server import Server, draws
from idlrt.client.base import AsyncClient
from idlrt.client.call_planner import CallPlanner
from idlrt.client.cluster import Cluster
from idlrt.client.endpoint import Endpoint
from idlrt.client.local_subscription import LocalSubscription
from idlrt.config import Layer, check
from idlrt.core import Call, ClockAndRandom, Instance, ServiceKey, Snapshot
from idlrt.errors import ConnectFailed, DeadlineExceeded
from idlrt.route import CallerInfo
from idlrt.spec import Method, required
from idlrt.spec.types import STRING

__all__ = ["EPOCH", "GET", "SERVICE", "Caller", "World", "instance"]

SERVICE: Final = "Simulated"
# The time of day at the beginning.
EPOCH: Final = 1_700_000_000.0

GET: Final[Method[..., str]] = Method("get", required(1, "key", STRING), result=STRING, is_idempotent=True)
GET.service = SERVICE

_TICK: Final = 0.05
_PATIENCE: Final = 1.0


def instance(number: int, **values: Any) -> Instance:
    """The instance of a number."""
    host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return Instance(service=SERVICE, host=host, port=9090, **values)


class _NoTransport:
    async def send(self, call: Call) -> Any:
        raise AssertionError("calls go through the call planner")

    async def close(self) -> None:
        pass


class Caller(AsyncClient):
    """A generated client, made without a compiler and without connections.

    Attributes:
        cluster: that its calls go to.
        view: of the registry.
    """

    def __init__(self, world: World, here: CallerInfo, policy: Mapping[str, Any], number: int) -> None:
        sources = ClockAndRandom(world.driver.now, random.Random(f"{world.seed}/{number}").random)
        self.view = LocalSubscription(world.snapshot)
        self.cluster: Cluster[Server] = Cluster(
            self.view,
            world.server_of,
            lambda server: None,
            _never_waits,
            SERVICE,
            partial(CallPlanner, (Layer("simulation", policy),), sources),
            here,
            wall=lambda: EPOCH + world.driver.time,
        )
        transport: Any = _NoTransport()
        super().__init__(transport, target=SERVICE, options={}, driver=world.driver, planner=self.cluster.planner)

    def get(self, key: str) -> Any:
        """The coroutine of a call."""
        call = self._begin(GET, (key,), _NO_NAMES)
        return call.plan.call_next(call)


_NO_NAMES: Final[dict[str, Any]] = {}


async def _never_waits(subscription: Any, call: Call) -> Snapshot:
    raise AssertionError("the first snapshot is there from the beginning")


class World:
    """See the module.

    Args:
        label: of the run.
        count: how many instances.
        rate: calls a second, of all clients together; they come at random (a Poisson process).
        seed: of all chance.
        policy: settings of calls, by dotted keys.
        clients: how many.
        mean: seconds of work of a call.
        shape: of the distribution of that.
        workers: of each server.
        room: of each server's queue.
        drops_expired: see `Server`.
        zones: of instances and clients, in turn.
        span: seconds of one tally.
        is_watching: whether clients ping as they do (`idlrt.client.watch`).
        keys: what calls are keyed by; numbers if `None`.
        driver: time, if it is that of other worlds too.

    Attributes:
        servers: by the number of their instance.
        callers: the clients.
        snapshot: current snapshot of the registry.
        tally: of the present span.
    """

    def __init__(
        self,
        label: str,
        *,
        count: int,
        rate: float,
        seed: int,
        policy: Mapping[str, Any],
        clients: int = 20,
        mean: float = 0.03,
        shape: str = "lognormal",
        workers: int = 4,
        room: int = 100,
        drops_expired: bool = True,
        zones: Sequence[str] = ("",),
        span: float = 0.5,
        is_watching: bool = False,
        keys: Iterator[str] | None = None,
        driver: EventDriver | None = None,
    ) -> None:
        problems = check(policy)
        if problems:
            raise ValueError("; ".join(map(str, problems)))
        self.label = label
        self.seed = seed
        self.rate = rate
        self.rng = random.Random(seed)
        self.driver = driver if driver is not None else EventDriver()
        times = draws(shape, self.rng, mean)
        self.instances = [
            instance(number, zone=zones[number % len(zones)], started_at=EPOCH - 3600) for number in range(count)
        ]
        self.servers = [Server(self.driver, times, workers, room, drops_expired) for _ in range(count)]
        self._by_address = {each.address: self.servers[number] for number, each in enumerate(self.instances)}
        self.snapshot = Snapshot(key=ServiceKey(SERVICE), instances=tuple(self.instances))
        self.callers = [
            Caller(self, CallerInfo(id=f"client-{number}", zone=zones[number % len(zones)], host=""), policy, number)
            for number in range(clients)
        ]
        self.tallies: list[Tally] = []
        self.tally = Tally(0.0)
        self.peaks: list[tuple[int, float]] = []
        self.each_span: Callable[[Tally], object] | None = None
        self.calls = 0
        self._sent = self._begun = 0
        self._span = span
        self._keys = keys if keys is not None else map(str, _numbers())
        self._gaps = draws("exponential", self.rng, 1 / rate)
        turns = [number % clients for number in range(-(-(1 << 14) // clients) * clients)]
        self.rng.shuffle(turns)
        self._gets = cycle([self.callers[number].get for number in turns])
        self._ended = self._finished
        self._stop_at = math.inf
        if is_watching:
            for number, caller in enumerate(self.callers):
                self.driver.at(_TICK * number / clients, self._ping_endpoints, caller)

    def server_of(self, instance: Instance) -> Server:
        """The leaf for an instance."""
        return self._by_address[instance.address]

    def replace_servers(self, servers: Sequence[Server]) -> None:
        """Replace the servers behind the addresses. Call it before the first call."""
        self.servers = list(servers)
        self._by_address = {each.address: servers[number] for number, each in enumerate(self.instances)}
        # Clients made senders for the old ones when these were published.
        empty = msgspec.structs.replace(self.snapshot, instances=())
        for caller in self.callers:
            caller.view.publish(empty)
            caller.view.publish(self.snapshot)

    def publish(self, instances: Sequence[Instance], delay: float = 0.2) -> None:
        """Publish a snapshot with these instances; each client receives it within `delay` seconds."""
        ordered = tuple(sorted(instances, key=lambda each: each.id))
        self.snapshot = Snapshot(key=self.snapshot.key, instances=ordered, revision=self.snapshot.revision + 1)
        for caller in self.callers:
            self.driver.at(self.driver.time + delay * self.rng.random(), self._deliver, caller.view, self.snapshot)

    def _deliver(self, view: LocalSubscription, snapshot: Snapshot) -> None:
        if view.snapshot is None or view.snapshot.revision < snapshot.revision:
            view.publish(snapshot)

    def after(self, when: float, what: Callable[[], object]) -> None:
        """Let something happen `when` seconds after the beginning."""
        self.driver.at(when, lambda one, two: what())

    def run(self, seconds: float, settle: float = 1.0, on_progress: Callable[[str], object] | None = None) -> Result:
        """Run the load for `seconds`.

        Args:
            settle: seconds at the beginning that are not counted.
            on_progress: called with progress messages.
        """
        with _tuned_for_speed():
            return self._run(seconds, settle, on_progress)

    def _run(self, seconds: float, settle: float, on_progress: Callable[[str], object] | None) -> Result:
        began = time.process_time()
        driver = self.driver
        driver.arrive = self._arrived
        driver.next_at = driver.time + next(self._gaps)
        driver.at(self._span, self._turn_over)
        loads: list[int] = []
        step = 0.0
        while step < seconds:
            step = settle if step < settle < seconds else min(step + 10.0, seconds)
            driver.run(step)
            if not loads and step >= settle:
                loads = [each.arrived for each in self.servers]
            if on_progress is not None:
                on_progress(f"{self.label}: {step:.0f} of {seconds:.0f} s, {self.calls / 1e6:.1f} million calls")
        cpu = time.process_time() - began
        return Result(
            label=self.label,
            tallies=[each for each in self.tallies if each.at >= settle - 1e-9],
            loads=[each.arrived - before for each, before in zip(self.servers, loads, strict=True)],
            peaks=self.peaks[round(settle / self._span) :],
            cpu=cpu,
            simulated=self.calls,
        )

    def _arrived(self) -> float:
        driver = self.driver
        self.calls += 1
        driver.step(Task(next(self._gets)(next(self._keys)), driver.time, self._ended))
        return next(self._gaps)

    def _finished(self, task: Task, result: Any, error: BaseException | None) -> None:
        tally = self.tally
        tally.calls += 1
        if error is None:
            seconds = self.driver.time - task.since
            tally.counts[int(math.log(seconds) * SCALE + SHIFT) if seconds > 1e-5 else 0] += 1
        else:
            if not isinstance(error, Exception):  # as KeyboardInterrupt
                raise error
            tally.errors += 1
            name = type(error).__name__
            tally.extras[name] = tally.extras.get(name, 0) + 1

    def _turn_over(self, one: None, two: None) -> None:
        now = self.driver.time
        self.driver.at(now + self._span, self._turn_over)
        tally = self.tally
        sent = sum([each.arrived for each in self.servers])
        tally.sends, self._sent = sent - self._sent, sent
        tally.begun, self._begun = self.calls - self._begun, self.calls
        here = [each.load for each in self.servers]
        self.peaks.append((max(here), sum(here) / len(here)))
        if self.each_span is not None:
            self.each_span(tally)
        self.tallies.append(tally)
        self.tally = Tally(now)

    def _ping_endpoints(self, caller: Caller, two: None) -> None:
        """Ping instances in virtual time, as `idlrt.client.watch`."""
        driver = self.driver
        now = driver.time
        driver.at(now + _TICK, self._ping_endpoints, caller)
        for endpoint in caller.cluster.endpoints:
            health = endpoint.health
            if not (health.is_unhealthy or endpoint.is_used) or not health.is_ping_due(now, 1.0):
                continue
            health.pinged_at = now
            if endpoint.transport.answers_pings:
                caller.cluster.answered(endpoint, now)
            elif not endpoint.transport.is_up:
                caller.cluster.failed(endpoint, ConnectFailed("connection refused"), now)
            else:
                health.pinged_at = now + _PATIENCE
                driver.at(now + _PATIENCE, self._unanswered, caller, endpoint)

    def _unanswered(self, caller: Caller, endpoint: Endpoint[Server]) -> None:
        if endpoint.transport.answers_pings:
            return
        caller.cluster.failed(endpoint, DeadlineExceeded("no answer to a ping"), self.driver.time)


@contextmanager
def _tuned_for_speed() -> Generator[None]:
    """Collect garbage rarely and silence the log: there are millions of calls and little garbage."""
    log = logging.getLogger("idlrt")
    level, thresholds = log.level, gc.get_threshold()
    log.setLevel(logging.CRITICAL)
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        log.setLevel(level)


def _numbers() -> Iterator[int]:
    return count()
