"""`hot`: skewed keys (Zipf, s = 1.2 over 10,000), and balancers by key.

The most frequent key is a fifth of all calls, which overloads the one instance that owns it. `balance_factor` limits
the calls in flight at an instance to a multiple of the average, rounded up; calls beyond that go to others, the same
for a key (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016). When an instance leaves, its
keys move, a share of 1/N (Karger et al. 1997); with Maglev a few others as well.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, cycle
from typing import Any

from benchmarks.simulate.figures import Result
from benchmarks.simulate.plots import bars
from benchmarks.simulate.scenario import Case, Section, Settings, Tell, figures_table
from benchmarks.simulate.world import GET, Caller, World
from idlrt.core import Call, Deadline
from idlrt.core.decisions import Decision, Picked

_WORKERS = 4
_KEYS = 10_000
_LOOK_AT_EACH = 29
_BOUND = 1.25
_NAMES = ("consistent_hash", "maglev")


def cases(settings: Settings) -> Sequence[Case]:
    """Return the runs."""
    return [
        Case(f"{name}, bound {bound}" if bound else name, {"balancer": name, "bound": bound})
        for name in _NAMES
        for bound in (0.0, _BOUND)
    ]


def run(settings: Settings, label: str, on_progress: Tell, *, balancer: str, bound: float) -> Result:
    """Make one run."""
    world = World(
        label,
        count=settings.instances,
        rate=settings.rate,
        seed=settings.seed,
        policy={"balancer": balancer, f"{balancer}.balance_factor": bound, "retries": 0},
        clients=1,
        workers=_WORKERS,
        mean=settings.work(0.6, _WORKERS),
        span=0.1,
        keys=_zipf(random.Random(settings.seed)),
    )
    caller = world.callers[0]
    moved = _moved(world, caller, balancer)
    watch = _Watch(caller, bound or _BOUND)
    result = world.run(min(settings.seconds, 3.0), settle=1.0, on_progress=on_progress)
    result.extras.update(moved)
    result.extras["over"] = watch.over
    result.extras["most"] = watch.most
    result.extras["looks"] = watch.looks
    return result


class _Watch:
    """Records the calls in flight of a client by instance at each pick.

    Attributes:
        over: most calls of an instance above its bound.
        most: greatest ratio of an instance to the mean.
        looks: number of samples.
    """

    def __init__(self, caller: Caller, bound: float) -> None:
        endpoints = caller.cluster.endpoints
        self._bound = bound
        self._loads = {endpoint.instance.address: endpoint.load for endpoint in endpoints}
        # Between two picks the sum may be off by a sixteenth of the instances: it is not made for each of them.
        self._slack = len(endpoints) // 16 + 1
        self._picks = 0
        self.looks = 0
        self.over = -math.inf
        self.most = 0.0
        # Called for each decision; for a pick before the call is in flight.
        planner = caller.cluster.planner
        planner.listeners = planner.observers = (self.hear,)

    def hear(self, decision: Decision) -> None:
        """Sample every n-th pick."""
        if not isinstance(decision, Picked):
            return
        self._picks += 1
        if self._picks % _LOOK_AT_EACH:
            return
        count = len(self._loads)
        total = sum([load.in_flight for load in self._loads.values()]) + 1
        own = self._loads[decision.instance].in_flight + 1
        ceiling = math.ceil(self._bound * (total + self._slack) / count)
        self.looks += 1
        self.over = max(self.over, own - ceiling)
        if total >= count:  # with less there is no mean to speak of
            self.most = max(self.most, own * count / total)


def _zipf(rng: random.Random) -> Iterator[str]:
    sums = list(accumulate(number**-1.2 for number in range(1, _KEYS + 1)))
    drawn = [f"key-{bisect_left(sums, rng.random() * sums[-1])}" for _ in range(1 << 17)]
    return cycle(drawn)


def _moved(world: World, caller: Caller, balancer: str) -> dict[str, float]:
    """Return how many keys move when an instance leaves."""
    before = _owners(world, caller)
    gone = world.instances[len(world.instances) // 2]
    whole = world.snapshot
    caller.view.publish(_without(whole, gone.id))
    after = _owners(world, caller)
    caller.view.publish(whole)
    own = sum(owner == gone.id for owner in before)
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    return {"own": float(own), "moved": float(moved)}


def _without(snapshot: Any, id: str) -> Any:
    from msgspec.structs import replace

    return replace(snapshot, instances=tuple(each for each in snapshot.instances if each.id != id))


def _owners(world: World, caller: Caller) -> list[str]:
    cluster: Any = caller.cluster
    plan = cluster.planner.plan(GET)
    owners: list[str] = []
    for number in range(_KEYS):
        call = Call(GET, (f"key-{number}",), "", Deadline(1.0, 1.0), world.driver, {}, {}, plan.policy, (), plan)
        endpoint = cluster.pick(call, ())
        owners.append(endpoint.instance.id)
    return owners


def report(settings: Settings, results: Mapping[str, Result]) -> Section:
    """Return the report of the results."""
    section = Section("hot: keys that are not alike", (__doc__ or "").strip().split("\n\n", 1)[1])
    section.parts.append(figures_table("one client, 60 % busy, no retries", list(results.values())))
    most = {name: each.extras["most"] for name, each in results.items()}
    section.parts.append(bars("most under way at an instance, by the mean", most, "{:.2f}"))
    mean = _KEYS / settings.instances
    for name in _NAMES:
        free, bound = results[name], results[f"{name}, bound {_BOUND}"]
        section.check(
            f"{name} without a bound overloads the owner of the hottest key",
            free.error_rate > 0.02 or free.spread.worst > 3,
            f"{free.error_rate:.1%} fail, max/mean {free.spread.worst:.1f}",
        )
        section.check(
            f"{name} with a bound keeps within it",
            bound.extras["over"] <= 0 < bound.extras["looks"],
            f"most under way is {bound.extras['most']:.2f} times the mean, bound {_BOUND} and rounded up",
        )
        section.check(
            f"{name} with a bound serves all calls",
            bound.error_rate == 0 and bound.ms(99) < free.ms(99) / 2,
            f"{bound.error_rate:.2%} fail, p99 {bound.ms(99):.0f} ms instead of {free.ms(99):.0f} ms",
        )
        others = free.extras["moved"] - free.extras["own"]
        section.check(
            f"{name} moves the keys of the leaving instance, and {'no' if name == 'consistent_hash' else 'few'} others",
            others <= (0 if name == "consistent_hash" else 0.02 * _KEYS)
            and free.extras["own"] <= mean + 6 * math.sqrt(mean) + 0.2 * mean,
            f"{free.extras['own']:.0f} of its keys, K/N is {mean:.0f}; {others:.0f} others",
        )
    return section
