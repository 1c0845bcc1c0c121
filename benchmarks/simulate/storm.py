"""`storm`: Half of the instances are ten times slower for some seconds, so that the load exceeds the capacity. Does the
service recover afterwards?

Calls that time out are retried, so the load is greatest when the capacity is lowest: up to three times the usual load.
Servers work on calls whose callers have given up, so further calls time out and are retried, even when all instances
are fast again: the state is metastable (Bronson, Aghayev, Charapko, Zhu, "Metastable Failures in Distributed Systems",
HotOS 2021). A retry budget removes its cause. Servers that drop expired calls waste less work, but that alone is not
enough: by then the timeouts have opened the breakers of all instances.

Along a chain of services retries multiply: three attempts at each of three hops are 27 at the last one. With
`chain_stop`, calls on behalf of a retry are not retried. (A server whose own call fails returns an internal error,
which its caller does not retry either. So retries multiply only where each hop times out before the next one.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.simulate.chain import attempts
from benchmarks.simulate.figures import Result
from benchmarks.simulate.plots import lines
from benchmarks.simulate.scenario import Case, Section, Settings, Tell, figures_table
from benchmarks.simulate.svg import chart
from benchmarks.simulate.world import World
from benchmarks.table import Table

_WORKERS = 4
_SLOWER = 10.0
_BEGIN, _END = 0.2, 0.4
_NAIVE: Mapping[str, Any] = {"budget.ratio": 1000, "budget.min_retries_per_second": 1e6}
_CHAIN = "chain"


def cases(settings: Settings) -> Sequence[Case]:
    """Return the runs."""
    short, long = min(settings.seconds, 15.0), settings.seconds
    return [
        Case("budget", {"policy": {}, "drops_expired": False, "seconds": long}),
        Case("no budget", {"policy": _NAIVE, "drops_expired": False, "seconds": short}),
        Case("no budget, expired dropped", {"policy": _NAIVE, "drops_expired": True, "seconds": short}),
        Case(_CHAIN, {"policy": _NAIVE, "drops_expired": False, "seconds": 0.0}),
    ]


def run(
    settings: Settings, label: str, on_progress: Tell, *, policy: Mapping[str, Any], drops_expired: bool, seconds: float
) -> Result:
    """Make one run."""
    if label == _CHAIN:
        return _chain(settings)
    work = settings.work(0.7, _WORKERS)
    world = World(
        label,
        count=settings.instances,
        rate=settings.rate,
        seed=settings.seed,
        policy={
            **policy,
            "balancer": "random",
            "timeout": 60 * work,
            "attempt_timeout": 12 * work,
            "backoff.base_delay": work,
        },
        clients=10,
        workers=_WORKERS,
        mean=work,
        room=100,
        drops_expired=drops_expired,
        span=seconds / 80,
        is_watching=True,
    )
    half = world.servers[::2]

    def scale(factor: float) -> None:
        for server in half:
            server.scale = factor

    world.after(seconds * _BEGIN, lambda: scale(_SLOWER))
    world.after(seconds * _END, lambda: scale(1.0))
    return world.run(seconds, settle=0.0, on_progress=on_progress)


def _chain(settings: Settings) -> Result:
    result = Result(label=_CHAIN, tallies=[], loads=[])
    for is_stopped in (False, True):
        policy = {**_NAIVE, "chain_stop": is_stopped, "backoff.base_delay": 0.0, "timeout": 2.0}
        for is_mute in (True, False):
            key = f"{'mute' if is_mute else 'full'} {is_stopped}"
            result.extras[key] = attempts(policy, (0.28, 0.095, 0.04), settings.seed, is_mute=is_mute)
    return result


def report(settings: Settings, results: Mapping[str, Result]) -> Section:
    """Return the report of the results."""
    section = Section("storm: retries that keep a service down", (__doc__ or "").strip().split("`storm`: ", 1)[1])
    runs = [each for name, each in results.items() if name != _CHAIN]
    ends: dict[str, Result] = {}
    for each in runs:
        length = min(settings.seconds, 15.0) if each.label != "budget" else settings.seconds
        ends[each.label] = end = each.within(length * 0.8, length)
        storm = each.within(length * _BEGIN, length * _END)
        before = each.within(length * 0.05, length * _BEGIN)
        before.label, storm.label, end.label = "before", "while half are slow", "long after"
        section.parts.append(figures_table(each.label, [before, storm, end], "when"))
        section.parts.append(_plots(each, length))
    for name, (title, unit, shown) in {
        "sends": ("sends for each call", "", [[each.attempts for each in run.tallies] for run in runs]),
        "errors": ("calls that fail", " %", [[each.error_rate * 100 for each in run.tallies] for run in runs]),
    }.items():
        series = {each.label: values for each, values in zip(runs, shown, strict=True)}
        below = f"half are slow from {_BEGIN:.0%} to {_END:.0%} of the time"
        section.pictures[f"storm_{name}.svg"] = chart(title, series, unit, below)
    _check(ends, results[_CHAIN].extras, section)
    return section


def _plots(result: Result, seconds: float) -> str:
    sends = {result.label: [each.attempts for each in result.tallies]}
    errors = {result.label: [each.error_rate * 100 for each in result.tallies]}
    slow = {result.label: [each.p99 for each in result.tallies]}
    return "\n".join(
        [
            lines("sends for each call", sends, "{:.2f}", seconds),
            lines("errors", errors, "{:.1f} %", seconds),
            lines("p99", slow, "{:.0f} ms", seconds),
        ]
    )


def _check(ends: Mapping[str, Result], chain: Mapping[str, float], section: Section) -> None:
    table = Table("attempts at C for one call at A, in a chain of three", ("C", "chain_stop off", "chain_stop on"))
    table.add("does not answer", f"{chain['mute False']:.1f}", f"{chain['mute True']:.1f}")
    table.add("refuses", f"{chain['full False']:.1f}", f"{chain['full True']:.1f}")
    section.parts.append("#" + str(table))
    naive, budget, dropped = ends["no budget"], ends["budget"], ends["no budget, expired dropped"]
    section.check(
        "without a budget the storm sustains itself",
        naive.error_rate > 0.3 and naive.attempts > 2,
        f"long after {naive.error_rate:.1%} fail, with {naive.attempts:.2f} sends for a call",
    )
    section.check(
        "with a budget the service recovers",
        budget.error_rate < 0.001 and budget.attempts < 1.05,
        f"{budget.error_rate:.3%} fail, with {budget.attempts:.3f} sends for a call",
    )
    section.check(
        "servers that drop expired calls do no worse",
        dropped.error_rate <= naive.error_rate,
        f"{dropped.error_rate:.3%} fail, with {dropped.attempts:.3f} sends for a call",
    )
    section.check(
        "retries multiply along a chain", chain["mute False"] > 20, f"{chain['mute False']:.1f} attempts at C"
    )
    section.check(
        "chain_stop limits retries along a chain", chain["mute True"] <= 7.01, f"{chain['mute True']:.1f} attempts at C"
    )
