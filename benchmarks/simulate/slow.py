"""`slow`: one instance of twenty takes ten times as long. Who notices, and what does a second request bring?

A balancer by latency, or by calls in flight, sends few calls to slow instances. Any other balancer overloads them: they
get three times their capacity. Where they are slow but not overloaded, `hedge` sends a second request when a response
is late, which makes the slowest responses faster and costs few extra calls (Dean and Barroso, "The Tail at
Scale", 2013): no more than its `extra_load`, which is 5 % here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.simulate.figures import Result
from benchmarks.simulate.plots import bars
from benchmarks.simulate.scenario import Case, Section, Settings, Tell, figures_table
from benchmarks.simulate.world import World

_WORKERS = 4
_ONE_OF = 20
_TIMES = 10.0
_EXTRA = 0.05
_BALANCERS = ("p2c", "least_requests", "random", "round_robin", "consistent_hash")
_MODES = (("random", "failover"), ("random", "hedge"), ("p2c", "failover"), ("p2c", "hedge"))


def cases(settings: Settings) -> Sequence[Case]:
    """Return the runs."""
    found = [Case(name, {"balancer": name, "fault": "failover", "busy": 0.3}) for name in _BALANCERS]
    found += [Case(f"{name}, {mode}", {"balancer": name, "fault": mode, "busy": 0.06}) for name, mode in _MODES]
    return found


def run(settings: Settings, label: str, on_progress: Tell, *, balancer: str, fault: str, busy: float) -> Result:
    """Make one run."""
    world = World(
        label,
        count=settings.instances,
        rate=settings.rate,
        seed=settings.seed,
        policy={"balancer": balancer, "fault": fault, "hedge.max_extra_load": _EXTRA},
        clients=10,
        workers=_WORKERS,
        mean=settings.work(busy, _WORKERS),
        span=0.1,
    )
    slow = world.servers[::_ONE_OF]
    for server in slow:
        server.scale = _TIMES
    result = world.run(min(settings.seconds, 3.0), settle=1.0, on_progress=on_progress)
    result.extras["slow"] = sum(result.loads[::_ONE_OF]) / sum(result.loads)
    return result


def report(settings: Settings, results: Mapping[str, Result]) -> Section:
    """Return the report of the results."""
    section = Section("slow: one of twenty takes ten times as long", (__doc__ or "").strip().split("\n\n", 1)[1])
    by_balancer = [results[name] for name in _BALANCERS]
    section.parts.append(figures_table("balancers, 30 % busy", by_balancer))
    shares = {each.label: each.extras["slow"] * 100 for each in by_balancer}
    section.parts.append(bars("calls that the slow 5 % were sent", shares, "{:.2f} %"))
    by_mode = [results[f"{name}, {mode}"] for name, mode in _MODES]
    section.parts.append(figures_table("a second request, 6 % busy", by_mode, "balancer, fault mode"))
    section.parts.append(bars("p99", {each.label: each.ms(99) for each in by_mode}, "{:.1f} ms"))
    chance = results["random"]
    for name in ("p2c", "least_requests"):
        found = results[name]
        section.check(
            f"{name} avoids slow instances",
            found.extras["slow"] < 0.6 * chance.extras["slow"] and found.ms(99) < 0.5 * chance.ms(99),
            f"{found.extras['slow']:.2%} of the calls, p99 {found.ms(99):.0f} ms; "
            f"random {chance.extras['slow']:.2%} and {chance.ms(99):.0f} ms",
        )
    without, hedged = results["random, failover"], results["random, hedge"]
    section.check(
        "hedging makes the slowest responses far faster",
        hedged.ms(99) < 0.6 * without.ms(99),
        f"p99 {hedged.ms(99):.1f} ms instead of {without.ms(99):.1f} ms",
    )
    for name in ("random", "p2c"):
        extra = results[f"{name}, hedge"].attempts - 1
        section.check(
            f"hedging of {name} stays within extra_load",
            extra <= _EXTRA + 0.003,
            f"{extra:.2%} extra calls, {_EXTRA:.0%} are allowed",
        )
    return section
