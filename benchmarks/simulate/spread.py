"""`spread`: all instances are well and alike. How even do balancers spread the calls, with what each client knows?

If m·n calls go to n random instances, the busiest gets about m + sqrt(2 m ln n) (Raab and Steger, "Balls into
Bins", 1998); with the better of two random choices (Mitzenmacher 2001) the longest queue only grows
with log log n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.simulate.figures import Result
from benchmarks.simulate.plots import bars, histogram
from benchmarks.simulate.scenario import Case, Section, Settings, Tell, figures_table
from benchmarks.simulate.world import World
from idlrt.balance import BALANCERS

_WORKERS = 4
_CLIENTS = 10
_BY_VIEW = ("p2c", "least_requests", "random")


def cases(settings: Settings) -> Sequence[Case]:
    """Return the runs."""
    found = [Case(name, {"balancer": name, "clients": _CLIENTS}) for name in BALANCERS.names()]
    for clients in (1, 50):
        found += [Case(f"{name}, {clients}", {"balancer": name, "clients": clients}) for name in _BY_VIEW]
    return found


def run(settings: Settings, label: str, on_progress: Tell, *, balancer: str, clients: int) -> Result:
    """Make one run."""
    world = World(
        label,
        count=settings.instances,
        rate=settings.rate,
        seed=settings.seed,
        policy={"balancer": balancer},
        clients=clients,
        workers=_WORKERS,
        mean=settings.work(0.75, _WORKERS),
        span=0.1,
    )
    return world.run(min(settings.seconds, 2.5), settle=0.5, on_progress=on_progress)


def report(settings: Settings, results: Mapping[str, Result]) -> Section:
    """Return the report of the results."""
    names = [name for name in results if "," not in name]
    section = Section("spread: all instances are healthy", (__doc__ or "").strip().split("\n\n", 1)[1])
    section.parts.append(
        figures_table(
            f"{_CLIENTS} clients, 75 % busy",
            [results[name] for name in names],
            note="`max/mean` and CV (standard deviation by mean) are of the calls that instances were sent; `most "
            "at once` is the mean of the longest queue, including calls in execution. Each client has one "
            "connection to each instance, so `least_connections` has nothing to compare. Where clients know "
            "little, the latencies that `p2c` compares are mostly noise: calls are less even than with "
            "`random`, but queues are still shorter.",
        )
    )
    views = [name for name in _BY_VIEW for name in (f"{name}, 1", name, f"{name}, 50")]
    section.parts.append(
        figures_table(
            "what a client knows: 1, 10 and 50 clients", [results[name] for name in views], "balancer, clients"
        )
    )
    section.parts.append(histogram("calls that an instance was sent", {name: results[name].loads for name in names}))
    section.parts.append(
        bars("most at once at an instance", {name: each.peak for name, each in results.items()}, "{:.1f}")
    )
    _check(settings, results, section)
    return section


def _check(settings: Settings, results: Mapping[str, Result], section: Section) -> None:
    chance, turns = results["random"], results["round_robin"]
    each = sum(chance.loads) / len(chance.loads)
    expected = math.sqrt(2 * each * math.log(len(chance.loads)))
    found = max(chance.loads) - each
    section.check(
        "the busiest instance of random is that of balls into bins",
        0.6 * expected <= found <= 1.35 * expected,
        f"{found:.0f} over the mean of {each:.0f}; sqrt(2 m ln n) is {expected:.0f}",
    )
    deviation = 1 / math.sqrt(each)
    section.check(
        "the variation of random is that of a random choice",
        0.8 * deviation <= chance.spread.variation <= 1.25 * deviation,
        f"{chance.spread.variation:.3f}; 1/sqrt(m) is {deviation:.3f}",
    )
    section.check(
        "round_robin is even",
        turns.spread.variation < 0.2 * deviation,
        f"CV {turns.spread.variation:.3f}",
    )
    for name in ("p2c", "least_requests"):
        one, alone = results[f"{name}, 1"], results["random, 1"]
        mine, others = one.peak - one.mean_load, alone.peak - alone.mean_load
        section.check(
            f"{name}, with one client, keeps queues far shorter than random",
            mine < 0.6 * others,
            f"the longest is {mine:.1f} over the mean, random's {others:.1f}",
        )
        section.check(
            f"{name}, with many clients, is still better than random",
            results[name].peak < chance.peak,
            f"{results[name].peak:.1f} at once, random {chance.peak:.1f}",
        )
    section.check(
        "no call fails",
        all(not result.error_rate for result in results.values()),
        f"{sum(result.calls for result in results.values())} calls",
    )
