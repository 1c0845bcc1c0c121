"""`cold`: one instance of ten is new, and takes twenty times as long in its first ten seconds.

By weight alone a new instance gets its full share at once, which exceeds its capacity. With `warm_up` the share grows
from a tenth, within its capacity. A balancer by latency adapts without `warm_up`, after some slow calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from benchmarks.simulate.figures import Result
from benchmarks.simulate.plots import lines
from benchmarks.simulate.scenario import Case, Section, Settings, Tell, figures_table
from benchmarks.simulate.world import EPOCH, World

_WORKERS = 4
_ONE_OF = 10
_TIMES = 20.0
_BEGIN, _IS_WARM = 0.1, 0.9333
# Of the time in which they are cold.
_WARM_UP = 3.0
_BALANCERS = ("p2c", "weighted_round_robin")


def cases(settings: Settings) -> Sequence[Case]:
    """Return the runs."""
    seconds = min(settings.seconds, 12.0)
    return [
        Case(
            f"{name}, warm_up" if is_warming else name, {"balancer": name, "is_warming": is_warming, "seconds": seconds}
        )
        for name in _BALANCERS
        for is_warming in (False, True)
    ]


def run(
    settings: Settings, label: str, on_progress: Tell, *, balancer: str, is_warming: bool, seconds: float
) -> Result:
    """Make one run."""
    cold = seconds * (_IS_WARM - _BEGIN)
    world = World(
        label,
        count=settings.instances,
        rate=settings.rate,
        seed=settings.seed,
        policy={"balancer": balancer, "warm_up": cold * _WARM_UP if is_warming else 0.0},
        clients=10,
        workers=_WORKERS,
        mean=settings.work(0.12, _WORKERS),
        span=seconds / 80,
    )
    new = {each.id: number for number, each in enumerate(world.instances) if number % _ONE_OF == 0}

    def come() -> None:
        for number in new.values():
            world.servers[number].scale = _TIMES
            since = EPOCH + world.driver.time
            world.instances[number] = msgspec.structs.replace(world.instances[number], started_at=since)
        world.publish(world.instances)

    def warm() -> None:
        for number in new.values():
            world.servers[number].scale = 1.0

    world.publish([each for each in world.instances if each.id not in new], delay=0.0)
    world.after(seconds * _BEGIN, come)
    world.after(seconds * _IS_WARM, warm)
    return world.run(seconds, settle=0.0, on_progress=on_progress)


def report(settings: Settings, results: Mapping[str, Result]) -> Section:
    """Return the report of the results."""
    section = Section("cold: new instances are slow at first", (__doc__ or "").strip().split("\n\n", 1)[1])
    seconds = min(settings.seconds, 12.0)
    starts = {name: each.within(seconds * _BEGIN, seconds * _IS_WARM) for name, each in results.items()}
    section.parts.append(figures_table("while they are cold", list(starts.values())))
    series = {name: [each.p99 for each in result.tallies] for name, result in results.items()}
    section.parts.append(lines("p99", series, "{:.0f} ms", seconds))
    turns, warmed = starts["weighted_round_robin"], starts["weighted_round_robin, warm_up"]
    section.check(
        "warm_up makes the start of weighted_round_robin far quicker",
        warmed.ms(99) < 0.5 * turns.ms(99),
        f"p99 {warmed.ms(99):.0f} ms instead of {turns.ms(99):.0f} ms",
    )
    section.check(
        "p2c finds out by itself",
        starts["p2c"].ms(99) < 0.5 * turns.ms(99),
        f"p99 {starts['p2c'].ms(99):.0f} ms, weighted_round_robin {turns.ms(99):.0f} ms",
    )
    section.check(
        "warm_up does p2c no harm",
        starts["p2c, warm_up"].ms(99) <= 1.1 * starts["p2c"].ms(99),
        f"p99 {starts['p2c, warm_up'].ms(99):.0f} ms instead of {starts['p2c'].ms(99):.0f} ms",
    )
    return section
