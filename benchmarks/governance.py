"""Cost of governance per call: the client's work between a generated method and the transport, which replies at once.

The same client over a bare transport, and over a cluster of 1,000 instances with more and more features enabled; the
difference to the bare transport is the cost of routing, balancing, fault mode and guards. Also the cost of a pick.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.size import FULL, Size
from benchmarks.table import Table, measure, middle, unit
from idlrt.balance import BALANCERS, Load
from idlrt.client import AsyncClient, Client
from idlrt.client.call_planner import CallPlanner
from idlrt.client.cluster import Cluster
from idlrt.client.local_subscription import LocalSubscription
from idlrt.client.stats import PoolStats
from idlrt.config import Layer, flatten
from idlrt.core import Call, ClockAndRandom, Deadline, Instance, ServiceKey, Snapshot
from idlrt.core.driver import BlockingDriver
from idlrt.core.leases import Lease
from idlrt.route import CallerInfo
from idlrt.spec import I64, Service, method, required
from idlrt.testing.balancers import FakeEndpoint, fake_endpoints

__all__ = ["run_calls", "run_changes", "run_picks"]

CALL_NOTE = """CPU of a call of a method with one argument whose leaf answers at once: the median of {rounds} rounds.
`defaults`: the router chain (tag, zone), p2c among {instances} instances, failover with its budget, health, outlier
ejection and a circuit breaker for each instance, deadline. The rows below add to that."""
CHANGE_NOTE = """CPU of single calls of a blocking client, `zones, 10 rules, breaker` among {instances} instances, of
{calls} calls. After every {every}th something changes: on another thread, as with a registry, which is waited for.
`after a change elsewhere`: of another client, which leaves the processor's caches as cold."""
PICK_NOTE = """CPU of one `pick`, the median of {rounds} rounds; keys differ from call to call. Instances are idle and
have equal weights; `busy`: with calls in flight, connections and latencies, and different weights."""


class _Echo:
    def echo(self, value: int) -> int:
        """Gives back what it is given."""
        raise NotImplementedError


_ECHO = method(_Echo.echo, required(1, "value", I64), result=I64, idempotent=True)
_SERVICE = Service("Echo", _ECHO)


class _Blocking(Client):
    __thrift_service__ = _SERVICE

    def echo(self, value: int) -> int:
        """Gives back what it is given."""
        return self._call(_ECHO, value)


class _Async(AsyncClient):
    __thrift_service__ = _SERVICE

    async def echo(self, value: int) -> int:
        """Gives back what it is given."""
        return await self._call(_ECHO, value)


class _Leaf:
    """A transport that replies at once."""

    carries_metadata = True

    async def send(self, call: Call) -> Any:
        return call.arguments[0]

    def reset_backoff(self) -> None:
        pass

    def connections(self) -> int:
        return 1

    def stats(self) -> PoolStats:
        return PoolStats(connections=1)

    def close(self) -> None:
        pass


def _snapshot(count: int) -> Snapshot:
    return Snapshot(
        key=ServiceKey("Echo"),
        instances=tuple(
            Instance(
                service="Echo",
                host=f"10.0.{number // 250}.{number % 250}",
                port=9090,
                zone=f"zone-{number % 3}",
                tags={"disk": "ssd" if number % 2 else "hdd"},
            )
            for number in range(count)
        ),
    )


RULES = [
    *({"when": f"method = other{number}*", "to": "tags.disk = ssd"} for number in range(9)),
    {"when": "method = echo", "to": "tags.disk = ssd"},
]
BREAKER = {"breaker": {"per": "method"}}
VARIANTS: Mapping[str, tuple[Mapping[str, Any], CallerInfo]] = {
    "defaults": ({}, CallerInfo(id="caller")),
    "and zones": ({}, CallerInfo(id="caller", zone="zone-1")),
    "and 10 rules": ({"routes": RULES}, CallerInfo(id="caller")),
    "and a breaker of the service": (BREAKER, CallerInfo(id="caller")),
    "zones, 10 rules, breaker": ({"routes": RULES, **BREAKER}, CallerInfo(id="caller", zone="zone-1")),
}


def _governed(kind: Callable[..., Any], said: Mapping[str, Any], caller: CallerInfo, instances: int) -> Any:
    return _following(kind, said, caller, LocalSubscription(_snapshot(instances)))


def _following(
    kind: Callable[..., Any], said: Mapping[str, Any], caller: CallerInfo, subscription: LocalSubscription
) -> Any:
    make_planner = partial(CallPlanner, [Layer("bench", flatten(said))])
    leaf = _Leaf()

    async def first(subscription: Any, call: Call) -> Snapshot:
        raise AssertionError("it is known from the beginning")

    cluster = Cluster[Any](subscription, lambda _: leaf, lambda _: None, first, "Echo", make_planner, caller)

    class Sender(_Leaf):
        send = staticmethod(cluster.call)

    return kind(Sender(), target="Echo", options={}, planner=cluster.planner)


def _batches(client: Any, batch: int, is_async: bool, loop: asyncio.AbstractEventLoop) -> Callable[[], object]:
    if not is_async:
        echo = client.echo

        def run() -> None:
            for _ in range(batch):
                echo(1)

        return run

    async def calls() -> None:
        for _ in range(batch):
            await client.echo(1)

    return lambda: loop.run_until_complete(calls())


def run_calls(folder: Path, size: Size = FULL) -> Table:
    """Measure calls."""
    note = CALL_NOTE.format(rounds=size.governance_rounds, instances=size.governance_instances)
    table = Table("Governance: what a call costs", ["", "blocking", "beyond the leaf", "asyncio", "beyond"], note)
    batch = size.governance_batch
    loop = asyncio.new_event_loop()
    candidates: dict[str, Callable[[], object]] = {}
    for kind, is_async in ((_Blocking, False), (_Async, True)):
        leaf: Any = _Leaf()
        candidates[f"a bare leaf {is_async}"] = _batches(kind(leaf, target="Echo", options={}), batch, is_async, loop)
        for name, (said, caller) in VARIANTS.items():
            client = _governed(kind, said, caller, size.governance_instances)
            candidates[f"{name} {is_async}"] = _batches(client, batch, is_async, loop)
    times = measure(candidates, rounds=size.governance_rounds)
    loop.close()
    costs = {name: middle(each) / batch for name, each in times.items()}
    for name in ("a bare leaf", *VARIANTS):
        cells: list[str] = []
        for is_async in (False, True):
            cost, bare = costs[f"{name} {is_async}"], costs[f"a bare leaf {is_async}"]
            cells += [unit(cost), unit(cost - bare) if name in VARIANTS else ""]
        table.add(name, *cells)
    return table


def run_changes(folder: Path, size: Size = FULL) -> Table:
    """Measure the call after a change of settings or instances, beside all others."""
    calls, every = size.changes_calls, max(size.changes_calls // 100, 10)
    note = CHANGE_NOTE.format(instances=size.governance_instances, calls=calls, every=every)
    table = Table("Governance: the call after a change", ["", "median", "p99", "p99.9", "maximum"], note)
    said, caller = VARIANTS["zones, 10 rules, breaker"]
    whole = _snapshot(size.governance_instances)
    count = len(whole.instances)

    def change(subscription: LocalSubscription, what: str, number: int) -> None:
        settings = {} if what == "instances" else {"timeout": f"{1 + number % 7}"}
        gone = number % count if what == "instances" else count
        left = (*whole.instances[:gone], *whole.instances[gone + 1 :])
        newer = msgspec.structs.replace(whole, instances=left, settings=settings)
        thread = threading.Thread(target=subscription.publish, args=(newer,))
        thread.start()
        thread.join()

    rest = array("q")
    for what in ("settings", "instances", "elsewhere"):
        subscriptions = [LocalSubscription(whole) for _ in range(2)]
        echo, other = [_following(_Blocking, said, caller, each).echo for each in subscriptions]
        other(0)
        first = array("q")
        for number in range(calls):
            is_first = number % every == every - 1
            if is_first:
                change(subscriptions[what == "elsewhere"], what, number // every)
            begun = time.thread_time_ns()
            echo(number)
            (first if is_first else rest).append(time.thread_time_ns() - begun)
        table.add(
            f"after a change of {what}" if what != "elsewhere" else "after a change elsewhere", *_percentiles(first)
        )
    table.add("all others", *_percentiles(rest))
    return table


def _percentiles(nanoseconds: array[int]) -> list[str]:
    ordered = sorted(nanoseconds)
    return [unit(ordered[min(int(len(ordered) * part), len(ordered) - 1)] / 1e9) for part in (0.5, 0.99, 0.999, 1.0)]


def run_picks(folder: Path, size: Size = FULL) -> Table:
    """Measure balancers."""
    counts = size.picks_instances
    note = PICK_NOTE.format(rounds=size.picks_rounds)
    columns = [*((count, False) for count in counts), (counts[-1], True)]
    heads = [f"{count:,} {'busy' if is_busy else 'instances'}" for count, is_busy in columns]
    table = Table("Balancers: picking one of many", ["", *heads], note)
    deadline = Deadline(time.monotonic() + 1000, 1000)
    calls = [Call(_ECHO, (number,), "Echo", deadline, BlockingDriver()) for number in range(97)]
    for name in BALANCERS.names():
        candidates = {
            head: _picks(name, *_targets(*column), calls) for head, column in zip(heads, columns, strict=True)
        }
        times = measure(candidates, rounds=size.picks_rounds)
        table.add(name, *(unit(middle(times[head]) / len(calls)) for head in heads))
    return table


def _targets(count: int, is_busy: bool) -> tuple[list[FakeEndpoint], list[Lease]]:
    """Return instances, and the leases of the calls that they have, which end when these are dropped."""
    if not is_busy:
        return fake_endpoints(*[100] * count), []
    rng = random.Random(1)
    leases: list[Lease] = []
    found = fake_endpoints(*(rng.choice((50, 100, 200, 400)) for _ in range(count)))
    for each in found:
        each.load = Load(partial(int, rng.randrange(1, 9)))
        leases += [each.load.begin() for _ in range(rng.randrange(1, 20))]
        each.load.record_success(rng.random() / 10, time.monotonic())
    return found, leases


def _picks(
    name: str, candidates: Sequence[FakeEndpoint], leases: Sequence[Lease], calls: Sequence[Call]
) -> Callable[[], object]:
    balancer = BALANCERS.make(name, candidates, ClockAndRandom())
    held = tuple(leases)

    def run() -> None:
        for call in calls:
            balancer.pick(call, held and ())

    return run
