"""`restart`: all instances are restarted, some at a time, as in a deployment.

Instances that are deregistered first, and stopped when no client calls them any more, cause no errors. Instances that
are killed lose the calls in flight and refuse connections until they are back: idempotent calls are retried on others
at once, so that only the number of attempts grows. Without retries each of these calls is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.simulate.figures import Result
from benchmarks.simulate.plots import lines
from benchmarks.simulate.scenario import Case, Section, Settings, Tell, figures_table
from benchmarks.simulate.world import EPOCH, World

_WORKERS = 4
_BATCHES = 20
# The part of a batch's time after which it is stopped, and started.
_STOP, _START = 0.7, 0.9


def cases(settings: Settings) -> Sequence[Case]:
    """Return the runs."""
    return [
        Case("deregistered", {"is_told": True, "policy": {}}),
        Case("killed", {"is_told": False, "policy": {}}),
        Case("killed, no retries", {"is_told": False, "policy": {"retries": 0}}),
    ]


def run(settings: Settings, label: str, on_progress: Tell, *, is_told: bool, policy: Mapping[str, Any]) -> Result:
    """Make one run."""
    seconds = min(settings.seconds, 8.0)
    world = World(
        label,
        count=settings.instances,
        rate=settings.rate,
        seed=settings.seed,
        policy=policy,
        clients=10,
        workers=_WORKERS,
        mean=settings.work(0.6, _WORKERS),
        span=seconds / 80,
        is_watching=True,
    )
    begin, each = seconds * 0.1, seconds * 0.85 / _BATCHES
    for number in range(_BATCHES):
        batch = range(number, settings.instances, _BATCHES)
        _restart(world, batch, begin + number * each, each, is_told=is_told)
    return world.run(seconds, settle=min(1.0, begin), on_progress=on_progress)


def _restart(world: World, batch: Sequence[int], at: float, seconds: float, *, is_told: bool) -> None:
    def leave() -> None:
        world.publish([each for each in world.snapshot.instances if each.id not in gone], seconds * 0.1)

    def stop() -> None:
        for number in batch:
            world.servers[number].kill()

    def start() -> None:
        for number in batch:
            world.servers[number].start()
            since = EPOCH + world.driver.time
            world.instances[number] = msgspec.structs.replace(world.instances[number], started_at=since)
        others = [each for each in world.snapshot.instances if each.id not in gone]
        world.publish([*others, *(world.instances[number] for number in batch)], seconds * 0.1)

    gone = {world.instances[number].id for number in batch}
    if is_told:
        world.after(at, leave)
    world.after(at + seconds * _STOP, stop)
    world.after(at + seconds * _START, start)


def report(settings: Settings, results: Mapping[str, Result]) -> Section:
    """Return the report of the results."""
    section = Section("restart: all instances, one after the other", (__doc__ or "").strip().split("\n\n", 1)[1])
    section.parts.append(figures_table(f"{_BATCHES} batches", list(results.values()), "how"))
    seconds = min(settings.seconds, 8.0)
    errors = {name: [each.errors for each in result.tallies] for name, result in results.items()}
    section.parts.append(lines("calls that failed", errors, "{:.0f}", seconds))
    sends = {name: [max(each.attempts - 1, 0.0) * 100 for each in result.tallies] for name, result in results.items()}
    section.parts.append(lines("extra sends", sends, "{:.2f} %", seconds))
    drained, killed, without = results["deregistered"], results["killed"], results["killed, no retries"]
    section.check("deregistering first causes no failed call", drained.error_rate == 0, f"0 of {drained.calls} failed")
    section.check("nor an additional attempt", drained.attempts < 1.002, f"{drained.attempts:.4f} sends for a call")
    section.check("failover hides killed instances", killed.error_rate < 1e-4, f"{killed.error_rate:.4%} failed")
    section.check(
        "without retries calls fail",
        without.error_rate > max(10 * killed.error_rate, 1e-4),
        f"{without.error_rate:.3%} failed",
    )
    section.check(
        "failover makes few additional attempts", killed.attempts < 1.03, f"{killed.attempts:.4f} sends for a call"
    )
    return section
