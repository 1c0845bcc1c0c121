"""`zone`: three zones, each with a third of the instances and of the clients; one dies, and comes back.

Calls stay in their zone while it has capacity. When a zone fails, its clients call the others as soon as they notice;
the other clients change nothing. When it is back, its clients return to it. The registry sends no update during this:
the result is that of the clients' health checks alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.simulate.figures import Result, Tally
from benchmarks.simulate.plots import lines
from benchmarks.simulate.scenario import Case, Section, Settings, Tell, figures_table
from benchmarks.simulate.svg import chart
from benchmarks.simulate.world import World

_WORKERS = 4
_ZONES = ("eu-1", "eu-2", "eu-3")
_LABEL = "a zone dies"
_DIES, _IS_BACK = 0.3, 0.65


def cases(settings: Settings) -> Sequence[Case]:
    """Return the runs."""
    return [Case(_LABEL, {"seconds": _seconds(settings)})]


def _seconds(settings: Settings) -> float:
    return min(settings.seconds, 12.0)


def run(settings: Settings, label: str, on_progress: Tell, *, seconds: float) -> Result:
    """Make one run."""
    world = World(
        label,
        count=settings.instances,
        rate=settings.rate,
        seed=settings.seed,
        policy={},
        clients=12,
        workers=_WORKERS,
        mean=settings.work(0.45, _WORKERS),
        zones=_ZONES,
        span=seconds / 80,
        is_watching=True,
    )
    zones = {zone: world.servers[number :: len(_ZONES)] for number, zone in enumerate(_ZONES)}
    before = dict.fromkeys(zones, 0)

    def count(tally: Tally) -> None:
        for zone, servers in zones.items():
            done = sum(each.done for each in servers)
            tally.extras[zone] = done - before[zone]
            before[zone] = done

    world.each_span = count
    lost = zones[_ZONES[0]]

    def die() -> None:
        for each in lost:
            each.kill()

    def come_back() -> None:
        for each in lost:
            each.start()

    world.after(seconds * _DIES, die)
    world.after(seconds * _IS_BACK, come_back)
    return world.run(seconds, settle=0.0, on_progress=on_progress)


def report(settings: Settings, results: Mapping[str, Result]) -> Section:
    """Return the report of the results."""
    section = Section("zone: a zone dies and comes back", (__doc__ or "").strip().split("\n\n", 1)[1])
    seconds, whole = _seconds(settings), results[_LABEL]
    parts = {
        "before": whole.within(seconds * 0.1, seconds * _DIES),
        "it dies": whole.within(seconds * _DIES, seconds * (_DIES + 0.05)),
        "without it": whole.within(seconds * (_DIES + 0.05), seconds * _IS_BACK),
        "it is back": whole.within(seconds * _IS_BACK, seconds * (_IS_BACK + 0.1)),
        "after": whole.within(seconds * 0.85, seconds),
    }
    for name, each in parts.items():
        each.label = name
    section.parts.append(figures_table(f"{_ZONES[0]} dies", list(parts.values()), "when"))
    series = {zone: [each.extras[zone] for each in whole.tallies] for zone in _ZONES}
    section.parts.append(lines("calls that were answered, by zone", series, "{:.0f}", seconds))
    errors = [each.error_rate * 100 for each in whole.tallies]
    sends = [each.attempts for each in whole.tallies]
    section.parts.append(lines("errors", {"errors": errors}, "{:.3f} %", seconds))
    section.parts.append(lines("sends for each call", {"sends": sends}, "{:.2f}", seconds))
    section.parts.append(lines("p99", {"p99": [each.p99 for each in whole.tallies]}, "{:.0f} ms", seconds))
    section.pictures["zone.svg"] = chart("calls that were answered, by zone", series, "", f"{seconds:g} s")
    _check(parts, section)
    return section


def _share(result: Result, zone: str) -> float:
    return sum(each.extras[zone] for each in result.tallies) / max(
        sum(each.extras[name] for each in result.tallies for name in _ZONES), 1
    )


def _check(parts: Mapping[str, Result], section: Section) -> None:
    lost = _ZONES[0]
    before, after = _share(parts["before"], lost), _share(parts["after"], lost)
    section.check(
        "calls stay in their zone", abs(before - 1 / 3) < 0.02, f"{before:.1%} in {lost}, a third of the clients"
    )
    section.check(
        "no call reaches the failed zone",
        _share(parts["without it"], lost) == 0,
        "no call answered there while it is gone",
    )
    section.check("calls return to their zone", abs(after - before) < 0.02, f"{after:.1%} in {lost} afterwards")
    died, without = parts["it dies"], parts["without it"]
    section.check("few calls fail when the zone fails", died.error_rate < 0.01, f"{died.error_rate:.3%}")
    section.check(
        "no call fails while the zone is down", without.error_rate == 0, f"{without.error_rate:.3%} of {without.calls}"
    )
    section.check(
        "the other zones carry the load", without.ms(99) < 3 * parts["before"].ms(99), f"p99 {without.ms(99):.0f} ms"
    )
    even = [_share(without, zone) for zone in _ZONES[1:]]
    section.check(
        "the other zones share the load evenly",
        abs(even[0] - even[1]) < 0.05,
        " and ".join(f"{each:.1%}" for each in even),
    )
