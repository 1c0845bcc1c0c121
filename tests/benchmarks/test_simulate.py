"""The simulator: its clock, its servers, and each of its scenarios, small; what must be so at any size is so."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.simulate.driver import EventDriver, Task
from benchmarks.simulate.figures import Result, Tally
from benchmarks.simulate.plots import bars, lines
from benchmarks.simulate.runs import SCENARIOS, make, simulate
from benchmarks.simulate.scenario import Case, Settings
from benchmarks.simulate.svg import chart
from benchmarks.simulate.world import World
from idlrt.errors import NotSent
from idlrt.testing import FakeDriver

# More than a moment.
pytestmark = pytest.mark.long

# Instances, calls a second, seconds. Where the work of a call matters there are as many calls for an instance as in
# the large one.
SIZES = {
    "spread": (50, 2000.0, 2.0),
    "slow": (40, 2000.0, 2.5),
    "zone": (48, 2000.0, 4.0),
    "restart": (20, 1500.0, 6.0),
    "storm": (10, 1000.0, 12.0),
    "hot": (50, 2000.0, 2.0),
    "cold": (20, 1000.0, 4.0),
}


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_small_scenario_shows_what_the_large_one_does(name: str) -> None:
    instances, rate, seconds = SIZES[name]
    settings = Settings(instances=instances, rate=rate, seconds=seconds)
    section = SCENARIOS[name].report(settings, simulate([name], settings, processes=1)[name])
    assert section.checks
    assert [str(check) for check in section.checks if not check.is_ok] == []
    assert section.title in str(section)


def test_every_run_is_the_same() -> None:
    settings = Settings(instances=20, rate=1000.0, seconds=2.0, seed=7)
    case = Case("p2c", {"balancer": "p2c", "clients": 3})
    one, other = (make("spread", settings, case) for _ in range(2))
    assert one.loads == other.loads
    assert [each.counts for each in one.tallies] == [each.counts for each in other.tallies]
    assert make("spread", Settings(instances=20, rate=1000.0, seconds=2.0, seed=8), case).loads != one.loads


def world(**values: Any) -> World:
    said: dict[str, Any] = {"count": 1, "rate": 50.0, "seed": 3, "policy": {"timeout": 100.0}, "clients": 1, **values}
    return World("", **said)


def test_a_server_is_as_queueing_theory_has_it() -> None:
    # M/M/1: the time in the system is exponential, with a mean of 1 / (mu - lambda) = 20 ms.
    result = world(mean=0.01, shape="exponential", workers=1, room=10_000).run(250.0, settle=10.0)
    assert result.ms(50) == pytest.approx(20 * 0.693, rel=0.1)
    assert result.ms(90) == pytest.approx(20 * 2.303, rel=0.1)
    assert result.mean_load == pytest.approx(1.0, rel=0.15)


def test_a_server_refuses_what_it_has_no_room_for() -> None:
    # M/M/1/1 without a queue: Erlang's loss formula, a / (1 + a) with a = 0.5.
    result = world(mean=0.01, shape="exponential", workers=1, room=0, policy={"retries": 0}).run(100.0, settle=1.0)
    assert result.error_rate == pytest.approx(1 / 3, rel=0.1)
    assert {name for tally in result.tallies for name in tally.extras} == {"Overloaded"}


def test_a_deadline_ends_a_call_and_not_the_work() -> None:
    made = world(mean=0.1, shape="fixed", workers=1, rate=1.0, policy={"timeout": 0.05, "retries": 0})
    result = made.run(20.0, settle=0.0)
    assert result.error_rate == 1
    assert made.servers[0].done > 0


def test_a_paused_server_resumes_where_it_stopped() -> None:
    made = world(mean=0.1, shape="fixed", workers=1, rate=1.0)
    made.after(0.0, lambda: made.servers[0].pause(0.0))
    made.after(2.0, lambda: made.servers[0].pause(30.0))
    result = made.run(60.0, settle=0.0)
    assert not result.error_rate
    assert result.ms(100) > 25_000


def test_a_killed_server_drops_its_calls_and_accepts_none() -> None:
    made = world(mean=0.5, shape="fixed", workers=10, rate=20.0, policy={"retries": 0})
    made.after(5.0, made.servers[0].kill)
    made.after(6.0, made.servers[0].start)
    made.run(10.0, settle=0.0)
    errors = {name for tally in made.tallies for name in tally.extras}
    assert errors == {"ConnectionLost", "ConnectFailed"}
    assert not made.tallies[-1].errors


Start = Callable[[], Coroutine[Any, Any, Any]]


def both(main: Callable[[Any], Coroutine[Any, Any, Any]]) -> tuple[Any, float]:
    """Run a coroutine with the simulator's driver and with `FakeDriver`; return the common result and end time."""
    outcomes: list[Any] = []
    driver = EventDriver()
    driver.start(main(driver), lambda task, result, error: outcomes.extend((result, error, driver.now())))
    driver.run(1000.0)
    fake = FakeDriver()
    try:
        expected: tuple[Any, str, float] = fake.run(main(fake)), "", fake.now()
    except NotSent as error:
        expected = None, repr(error), fake.now()
    result, failure, now = outcomes
    assert (result, repr(failure) if failure else "") == expected[:2]
    assert now == pytest.approx(expected[2])
    return result, now


def runner(driver: Any, seconds: float, outcome: Any) -> Start:
    async def run() -> Any:
        if seconds:
            await driver.sleep(seconds)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return run


@pytest.mark.parametrize("seed", range(40))
def test_races_are_those_of_the_other_driver(seed: int) -> None:
    rng = random.Random(seed)
    outcomes = [NotSent(f"{number}") if rng.random() < 0.6 else number for number in range(4)]
    times = [rng.choice([0.0, 1.1, 2.3, 3.7]) + number / 100 * (seed % 2) for number in range(4)]
    delay = rng.choice([0.0, 0.5, 2.05])

    async def main(driver: Any) -> Any:
        starts = [runner(driver, seconds, outcome) for seconds, outcome in zip(times, outcomes, strict=True)]
        return await driver.race(iter(starts), delay)

    both(main)


def test_all_limits_concurrency() -> None:
    async def main(driver: Any) -> Any:
        return await driver.all([runner(driver, 1.0 + number, number) for number in range(5)], at_once=2)

    assert both(main) == ([0, 1, 2, 3, 4], 9.0)


def test_waiting_for_an_event_ends_when_it_is_set_or_at_the_timeout() -> None:
    async def main(driver: Any) -> Any:
        event, never = driver.event(), driver.event()

        async def set_later() -> None:
            await driver.sleep(2.0)
            event.set()

        driver.spawn(set_later)
        return [await event.wait(10.0), driver.now(), await never.wait(3.0), driver.now()]

    assert both(main) == ([True, 2.0, False, 5.0], 5.0)


def test_what_is_closed_goes_on_no_more() -> None:
    driver, seen = EventDriver(), []

    async def main() -> None:
        await driver.sleep(1.0)
        seen.append("went on")

    task: Task = driver.start(main())
    driver.close(task)
    driver.run(5.0)
    assert seen == []


def test_percentiles_are_right_to_two_percent() -> None:
    made = world(mean=0.1, shape="uniform", workers=1000, rate=1000.0)
    result = made.run(30.0, settle=0.0)
    for percent in (10, 50, 90, 99):
        assert result.ms(percent) == pytest.approx(2 * percent, rel=0.06)


def test_spans_of_time_add_up() -> None:
    tallies = [Tally(0.0), Tally(1.0)]
    tallies[0].calls, tallies[0].errors, tallies[0].begun, tallies[0].sends = 10, 1, 10, 15
    tallies[1].calls, tallies[1].begun, tallies[1].sends = 30, 30, 30
    whole = Result(label="", tallies=tallies, loads=[1, 3])
    assert (whole.calls, whole.error_rate, whole.attempts) == (40, 1 / 40, 45 / 40)
    assert whole.within(1.0, 2.0).error_rate == 0
    assert (whole.spread.worst, whole.spread.variation) == (1.5, 0.5)


def test_charts_are_to_scale_and_well_formed() -> None:
    picture = ElementTree.fromstring(chart("a < b", {"one": [0.0, 1.0, 2.0]}, " %", "time"))
    (line,) = picture.iter("{http://www.w3.org/2000/svg}polyline")
    (x0, y0), (x1, y1), (x2, y2) = (map(float, each.split(",")) for each in line.attrib["points"].split())
    assert (x2 - x1, y2 - y1) == pytest.approx((x1 - x0, y1 - y0))
    assert y2 < y0


def test_plots_are_to_scale() -> None:
    assert "|▁▄█|" in lines("x", {"a": [0.1, 0.5, 1.0]}, "{:.0f}", 3.0).replace("▅", "▄")
    plot = bars("x", {"one": 1.0, "two": 2.0}, "{:.0f}", width=10).splitlines()
    assert [line.count("█") for line in plot if line[:3] in ("one", "two")] == [5, 10]
