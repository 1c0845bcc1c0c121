"""Conditions of alerts on a virtual clock: when they hold, when not, and when that cannot be decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alert_world import START, AlertWorld, Opened, breaker, calls

from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels, Metric, Series

GOOD = calls(100)
BAD = calls(95, 5)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    worlds: list[AlertWorld] = []

    def opened(rules: str) -> AlertWorld:
        worlds.append(AlertWorld(tmp_path, rules))
        return worlds[-1]

    yield opened
    for each in worlds:
        each.close()


def rule(when: str, **keys: str) -> str:
    return f"[alerts.A]\nwhen = {when!r}\n" + "".join(f"{name} = {value}\n" for name, value in keys.items())


SLOW = calls(100, ms=300)


@pytest.mark.parametrize(
    ("when", "quiet", "loud", "value"),
    [
        ("error rate > 1 %", GOOD, BAD, "5 %"),
        ("error rate >= 5 %", calls(96, 4), BAD, "5 %"),
        ("errors > 20", calls(98, 2), BAD, "30"),
        ("errors > 0.4/s", calls(98, 2), BAD, "0.5/s"),
        ("calls > 10/s", GOOD, calls(200), "20/s"),
        ("calls > 1000", GOOD, calls(200), "1,200"),
        ("calls < 5/s", GOOD, calls(20), "2/s"),
        ("p99 > 200 ms", GOOD, SLOW, "300 ms"),
        ("p50 > 200 ms", GOOD, SLOW, "300 ms"),
        ("max > 200 ms", GOOD, SLOW, "300 ms"),
        ("average > 200 ms", GOOD, SLOW, "300 ms"),
        ("p99 of rpc_server_call_duration_seconds > 200 ms", GOOD, SLOW, "300 ms"),
        ("rpc_breaker_state > 1", breaker(1), breaker(2), "2"),
        ("rpc_server_call_duration_seconds > 10/s", GOOD, calls(200), "20/s"),
    ],
)
def test_a_condition_holds_and_ends(opened: Opened, when: str, quiet: Series, loud: Series, value: str) -> None:
    world = opened(rule(when))
    world.run(120, quiet)
    assert world.state("A").state == "inactive"
    world.run(120, loud)
    found = world.state("A")
    assert (found.state, found.value_text) == ("firing", value)
    assert found.labels == {"alertname": "A", "severity": "ticket"}
    world.run(120, quiet)
    assert world.state("A").state == "inactive"
    assert world.changes("A") == ["firing", "resolved"]


def test_for_is_the_time_that_the_condition_must_hold(opened: Opened) -> None:
    world = opened(rule("error rate > 1 % over 10 s for 1 min"))
    world.run(60, BAD)
    assert world.state("A").state == "pending"
    world.run(10, GOOD)
    assert world.state("A").state == "inactive"
    world.run(60, BAD)
    assert world.changes("A") == ["pending", "inactive", "pending"]
    world.run(20, BAD)
    assert world.state("A").state == "firing"


def test_an_alert_goes_on_firing_for_a_time(opened: Opened) -> None:
    world = opened(rule("error rate > 1 % over 10 s", keep_firing_for='"1 min"'))
    world.run(20, BAD)
    world.run(20, GOOD)
    assert world.state("A").state == "keeping"
    world.run(10, BAD)
    world.run(50, GOOD)
    assert world.state("A").state == "keeping"
    world.run(30, GOOD)
    assert world.changes("A") == ["firing", "keeping", "firing", "keeping", "resolved"]


def test_too_few_calls_decide_nothing(opened: Opened) -> None:
    world = opened(rule("error rate > 1 %", min_calls="100"))
    world.run(120, calls(1, 5))
    assert world.state("A").state == "inactive"
    world.run(120, calls(10, 10))
    assert world.state("A").state == "firing"
    # Neither do they end it, before ten minutes are over.
    world.run(540, calls(1))
    assert world.state("A").state == "firing"
    world.run(120, calls(1))
    assert world.changes("A") == ["firing", "resolved"]
    assert world.alerts.history(1)[0].reason == "no data"


@pytest.mark.parametrize("when", ["calls < 5/s", "calls < 1000", "error rate > 1 %", "p99 < 1 ms", "errors > 0"])
def test_a_gap_is_not_zero(opened: Opened, when: str) -> None:
    world = opened(rule(when))
    world.run(120, calls(200))
    # The program is gone: nothing is known of it.
    world.run(300)
    assert world.changes("A") == []
    world.run(120, calls(200))
    assert world.changes("A") == []


def test_a_program_without_calls_has_zero(opened: Opened) -> None:
    idle = Series(Metric(name="other_total", kind="counter", help=""), {(): 1.0})
    by_service = rule("calls < 5/s", by='["service"]')
    by_method = '[alerts.B]\nwhen = "calls < 5/s"\nby = ["method"]\n[alerts.C]\nwhen="calls < 1"\nmethod="Shop.buy"\n'
    world = opened(f"{by_service}\n{by_method}service = 'shop'\n")
    world.run(120, calls(200))
    assert world.state("A").state == "inactive"
    assert world.state("C", method="Shop.buy").state == "firing"
    world.run(120, idle)
    assert world.state("A", service="shop").state == "firing"
    assert world.state("B", method="Shop.find").state == "firing"
    # A restarted collector knows which methods there were.
    world.restart()
    world.run(20, idle)
    assert world.state("B", method="Shop.find").state == "firing"


def test_the_newest_cell_raises_no_false_alarm(opened: Opened) -> None:
    world = opened(rule("calls < 15/s over 10 s"))
    one, two = {"service": "shop", "instance": "1"}, {"service": "shop", "instance": "2"}
    world.run_all(60, [(one, (GOOD,)), (two, (GOOD,))])
    # The report of one program has arrived, the one of the other has not.
    world.put(world.at + 1, GOOD, instance="1")
    world.at += 2
    world.alerts.evaluate()
    assert world.changes("A") == []
    assert world.state("A").state == "inactive"


def test_there_is_one_alert_for_each_group(opened: Opened) -> None:
    world = opened(rule("error rate > 1 % over 10 s", by='["method"]', service='"shop"', labels='{ team = "a" }'))
    world.run(30, calls(10, 10, method="Shop.find"))
    world.run(30, calls(10, 10, method="Shop.buy"))
    assert world.state("A", method="Shop.find").state == "firing"
    found = world.state("A", method="Shop.buy")
    assert found.labels == {
        "alertname": "A",
        "service": "shop",
        "method": "Shop.buy",
        "severity": "ticket",
        "team": "a",
    }


def test_filters(opened: Opened) -> None:
    keys = ("service", "method", "instance", "zone")
    values = ("shop", "Shop.find", "shop-1", "eu-1")
    text = "".join(
        f'[alerts.A{key}]\nwhen = "errors > 0"\n{key} = "{value}"\n[alerts.B{key}]\nwhen = "errors > 0"\n{key} = "x"\n'
        for key, value in zip(keys, values, strict=True)
    )
    world = opened(text + '[alerts.W]\nwhen = "errors > 0"\nwhere = { error_type = "ValueError" }\n')
    world.run(60, BAD, zone="eu-1")
    states = {each.rule: each.state for each in world.alerts.states()}
    assert {name for name, state in states.items() if state == "firing"} == {"W", *(f"A{key}" for key in keys)}


def test_absence(opened: Opened) -> None:
    world = opened(
        rule("absent for 2 min", service='"shop"') + '[alerts.Never]\nwhen="absent for 5 min"\nservice="x"\n'
    )
    world.run(60, GOOD)
    assert world.state("A").state == "inactive"
    world.run(110)
    assert world.state("A").state == "inactive"
    world.run(40)
    assert world.state("A").state == "firing"
    world.run(3600)
    assert world.state("A").state == "firing"
    assert world.state("Never").state == "firing"
    world.run(20, GOOD)
    assert world.changes("A") == ["firing", "resolved"]


def test_absence_by_instance(opened: Opened) -> None:
    world = opened(rule("absent for 1 min", by='["service", "instance"]'))
    one, two = {"service": "shop", "instance": "1"}, {"service": "shop", "instance": "2"}
    world.run_all(60, [(one, (GOOD,)), (two, (GOOD,))])
    world.run_all(120, [(one, (GOOD,))])
    assert [each.labels["instance"] for each in world.alerts.states() if each.is_firing] == ["2"]
    world.run_all(4600, [(one, (GOOD,))])
    assert [each for each in world.alerts.states() if each.is_firing] == []


def test_a_collector_that_was_down_raises_no_absence(opened: Opened) -> None:
    world = opened(rule("absent for 2 min", service='"shop"'))
    world.run(60, GOOD)
    world.restart(down=600)
    world.run(60)
    assert world.state("A").state == "inactive"
    world.run(20, GOOD)
    world.run(60)
    assert world.changes("A") == []
    world.run(120)
    assert world.changes("A") == ["firing"]
    # One that fires goes on across a restart, until a program reports.
    world.restart(down=60)
    world.run(60)
    assert world.changes("A") == ["firing"]
    world.run(20, GOOD)
    assert world.changes("A") == ["firing", "resolved"]


@pytest.mark.parametrize(
    ("when", "now", "value", "threshold"),
    [
        ("calls < 50 % of last week", calls(40), "4/s", "< 5/s"),
        ("p99 > 150 % of last week", calls(100, ms=9), "9 ms", "> 7.5 ms"),
        ("error rate > 200 % of last week", calls(95, 5), "5 %", "> 2 %"),
    ],
)
def test_comparison_with_last_week(opened: Opened, when: str, now: Series, value: str, threshold: str) -> None:
    world = opened(rule(when, service='"shop"'))
    # A week before: 100 calls in 10 s, one of which failed.
    for at in range(0, 3600, 10):
        world.put(START - 7 * 86400 - 1800 + at, calls(99, 1))
    world.store.maintain()
    world.run(900, calls(99, 1))
    assert world.changes("A") == []
    world.run(900, now)
    found = world.state("A")
    assert (found.state, found.value_text) == ("firing", value)
    assert found.threshold_text == threshold


def test_nothing_of_last_week_decides_nothing(opened: Opened) -> None:
    world = opened(rule("calls < 50 % of last week", service='"shop"'))
    world.run(900, calls(1))
    assert world.changes("A") == []


def burns(text: str = "") -> str:
    return f'[alerts.Burn]\nburn = "99.9 %"\nservice = "shop"\n{text}'


def firing(world: AlertWorld) -> set[tuple[str, str]]:
    return {(each.labels["window"], each.labels["severity"]) for each in world.alerts.states() if each.is_firing}


def test_burn_rates(opened: Opened) -> None:
    world = opened(burns())
    before = calls(60_000)
    for at in range(0, 72 * 3600, 600):
        world.put(START - 72 * 3600 + at, before)
    world.store.maintain()
    world.run(60, calls(1000))
    assert firing(world) == set()
    # 10 % of the calls fail: that is 14.4 times the budget of an hour after 9 minutes.
    world.run(480, calls(900, 100))
    assert ("1h", "page") not in firing(world)
    world.run(240, calls(900, 100))
    assert ("1h", "page") in firing(world)
    assert "1h and 5m" in world.state("Burn", window="1h").threshold_text
    assert world.state("Burn", window="1h").annotations["summary"].startswith("shop: error budget of 99.9 %")
    # The short window ends it soon.
    world.run(360, calls(1000))
    assert ("1h", "page") not in firing(world)


def test_a_burn_rate_with_few_calls_is_a_ticket(opened: Opened) -> None:
    world = opened(burns())
    world.run(400, calls(1, 1))
    assert ("1h", "ticket") in firing(world)
    assert ("1h", "page") not in firing(world)
    world.run(1800, calls(400, 20))
    assert ("1h", "page") in firing(world)
    assert ("1h", "ticket") not in firing(world)


def test_burn_rate_of_latency(opened: Opened) -> None:
    world = opened(burns('latency = "100 ms"\nmin_calls = 10\n'))
    world.run(400, calls(100, 5, ms=50))
    assert firing(world) == set()
    world.run(400, calls(100, ms=200))
    assert ("1h", "page") in firing(world)


def test_the_budget_is_for_faults_of_servers(opened: Opened) -> None:
    world = opened(burns() + rule("error rate > 1 %"))
    world.run(400, calls(1000), Series(calls().metric, {}))
    ok = calls(100).values
    values: dict[Labels, Histogram | float] = {
        (method, "invalid_argument", "", caller): value for (method, _, _, caller), value in ok.items()
    }
    world.run(400, Series(calls().metric, values))
    assert firing_rules(world) == {"A"}


def firing_rules(world: AlertWorld) -> set[str]:
    return {each.rule for each in world.alerts.states() if each.is_firing}


def test_metrics_that_are_not_there_yet(opened: Opened) -> None:
    world = opened(rule("later_total > 10/s") + '[alerts.B]\nwhen = "p99 of later_seconds > 1 s"\n')
    world.run(60, GOOD)
    assert [each.state for each in world.alerts.states()] == ["inactive"] * 2
    later = Series(Metric(name="later_total", kind="counter", help=""), {(): 500.0})
    world.run(60, later)
    assert world.state("A").state == "firing"


def test_gauges_of_programs_that_report_at_different_times(opened: Opened) -> None:
    open_files = Metric(name="open_files", kind="gauge", help="")
    world = opened(rule("open_files < 15"))
    series = Series(open_files, {(): 10.0})
    one, two = {"service": "shop", "instance": "1"}, {"service": "shop", "instance": "2"}
    for _ in range(10):
        world.run_all(10, [(one, (series,))])
        world.run_all(10, [(two, (series,))])
    # After the first cells, in which only one had reported, the sum is that of both.
    assert world.state("A").state == "inactive"


def test_annotations_have_values(opened: Opened) -> None:
    text = rule("error rate > 1 % over 10 s", by='["method"]', service='"shop"')
    text += "annotations.summary = '{method} of {service}: {value} {threshold}, {alertname} {severity}'\n"
    text += "annotations.runbook_url = 'https://wiki.example.com/{{x}}'\n"
    world = opened(text)
    world.run(30, BAD)
    assert world.state("A").annotations == {
        "summary": "Shop.find of shop: 5 % > 1 %, A ticket",
        "runbook_url": "https://wiki.example.com/{x}",
    }
