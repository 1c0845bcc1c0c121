"""Chains: built from plain values, errors that name the position, invariants for any rules, calls and instances."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idlrt.core import Call, ClockAndRandom, Deadline
from idlrt.errors import ConfigurationError
from idlrt.route import CallerInfo, Chain, Pool, Rule, Step, explain, make_chain, no_instance_reason
from idlrt.testing import FakeDriver
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint

ANYBODY = Pool([FakeEndpoint(1), FakeEndpoint(2)])
ANY: dict[str, Any] = {"to": ""}


def chain(*rules: object, caller: CallerInfo | None = None, seed: int = 1) -> Chain:
    return make_chain(rules, caller or CallerInfo(), ClockAndRandom(rng=random.Random(seed).random))


def routers(*rules: object) -> list[str]:
    return [step.router for step in explain(chain(*rules), call_of(), ANYBODY)]


def test_tag_comes_first_and_zone_last_without_a_rule() -> None:
    assert routers() == ["tag", "zone"]
    assert routers(ANY, {"router": "local"}) == ["tag", "condition", "local", "zone"]


def test_a_rule_takes_the_place_of_the_one_that_is_always_there() -> None:
    assert routers({"router": "zone", "priority": 9}, ANY) == ["tag", "zone", "condition"]
    assert routers({"to": "", "priority": 9}, {"router": "tag"}) == ["tag", "condition", "zone"]
    assert routers({"router": "zone", "enabled": False}, {"router": "tag", "enabled": False}, ANY) == ["condition"]


def test_those_with_more_priority_come_first_and_equals_as_they_were_written() -> None:
    priorities = {"a": 0, "b": 1, "c": 0, "d": -1, "e": 0}
    rules = [{"to": "", "name": name, "priority": priority} for name, priority in priorities.items()]
    found = explain(chain(*rules), call_of(), ANYBODY)
    assert [step.rule for step in found] == ["", "b", "a", "c", "e", "d", ""]


def test_rules_that_are_not_enabled_do_nothing() -> None:
    assert chain({"to": [], "force": True, "enabled": False}).route(call_of(), ANYBODY) is ANYBODY


def test_a_rule_may_be_made_already() -> None:
    assert routers(Rule(router="local")) == ["tag", "local", "zone"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (5, "routes[1]: expected a table of keys and values, got int"),
        ({"router": 5}, "routes[1].router: expected the name of a router, got 5"),
        ({"router": "zon"}, "routes[1].router: unknown router 'zon' (known: canary, "),
        ({"wen": ""}, "routes[1].wen: unknown key of a condition rule (known: enabled, force, name, priority, "),
        ({"when": "metod = get", "to": ""}, "routes[1].when: invalid condition 'metod = get' at offset 0: "),
        ({"to": "zone = 1~x"}, "routes[1].to: invalid condition 'zone = 1~x' at offset 7: "),
        ({"to": [{"where": ""}, {"where": "x"}]}, "routes[1].to[1].where: invalid condition 'x' at offset 0: "),
        ({"to": [{"where": "", "weight": 0}]}, "routes[1].to[0].weight: expected `int` >= 1"),
        ({"to": [{"where": "", "weigth": 5}]}, "routes[1].to[0].weigth: unknown key"),
        ({"to": [{}]}, "routes[1].to[0].where: missing key"),
        ({"to": 5}, "routes[1].to: expected `str | array`, got `int`"),
        ({"priority": "high"}, "routes[1].priority: expected `int`, got `str`"),
        ({"router": "canary", "to": "id = a"}, "routes[1].percent: missing key"),
        ({"router": "canary", "to": "id = a", "percent": 101}, "routes[1].percent: expected `float` <= 100.0"),
        ({"router": "canary", "to": "", "percent": 1}, "routes[1].to: expected a condition that selects the canaries"),
        ({"router": "canary", "to": "id = a", "percent": 1, "key": "x"}, "routes[1].key: unknown key 'x'; known for "),
        ({"router": "zone", "mode": "onyl"}, "routes[1].mode: invalid enum value 'onyl'"),
        ({"router": "subset"}, "routes[1].size: missing key"),
        ({"router": "subset", "size": 0}, "routes[1].size: expected `int` >= 1"),
        (
            {"router": "tag", "tags": {"g": ["10/x"]}},
            "routes[1].tags.g[0]: expected a network such as 10.1.0.0/16, ",
        ),
        ({"router": "tag", "tags": {"": ["h1"]}}, "routes[1].tags: a tag must not be empty"),
        ({"router": "group"}, "routes[1].mix: missing key"),
        ({"router": "group", "mix": {}}, "routes[1].mix: expected at least one group, as in "),
        ({"router": "group", "mix": {"blue": 101}}, "routes[1].mix[...]: expected `int` <= 100"),
        # Also what does not count at the moment.
        ({"enabled": False, "when": "x", "to": ""}, "routes[1].when: invalid condition 'x' at offset 0: "),
    ],
    ids=str,
)
def test_errors_point_at_the_key(rule: object, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        chain(ANY, rule)
    assert str(raised.value).startswith(said)


def test_unknown_keys_are_guessed() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'percent'"):
        chain({"router": "canary", "percents": 5})


def test_the_place_of_the_rules_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^services\.a\.routes\[0\]\.when: "):
        make_chain([{"when": "x", "to": ""}], CallerInfo(), ClockAndRandom(), where="services.a.routes")


def test_without_instances_there_is_a_step_too() -> None:
    steps = explain(chain(), call_of(), Pool[FakeEndpoint](()))
    assert [(step.before, step.after) for step in steps] == [(0, 0)]
    assert no_instance_reason("demo.Users", steps) == "no instance of demo.Users is known"
    assert explain(Chain([]), call_of(), ANYBODY)[0].why == "no rules"


def test_reasons_of_routers_that_do_not_say_none() -> None:
    step = Step(router="theirs", rule="r", why="it is full", before=3, after=0)
    assert no_instance_reason("S", [step]) == "no instance of S: excluded by router theirs (rule r): it is full"
    assert no_instance_reason("S", []) == "no instance of S matches the routing rules"


class Counting(dict[Any, Any]):
    """Cache of a pool that counts lookups."""

    looks = 0

    def get(self, key: Any, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)


def test_a_usual_call_costs_one_look() -> None:
    usual = chain()
    pool = Pool([FakeEndpoint(number) for number in range(100)])
    pool.cache = Counting()
    assert usual.route(call_of(), pool) is pool
    before = pool.cache.looks
    assert usual.route(call_of(), pool) is pool
    assert pool.cache.looks == before + 1


def test_random_choices_are_the_same_with_and_without_steps() -> None:
    rules = [{"router": "tag", "force": True}, {"router": "canary", "to": "zone = a", "percent": 50}]
    quiet, told, pool = chain(*rules), chain(*rules), Pool([FakeEndpoint(1, zone="a"), FakeEndpoint(2, zone="b")])
    for number in range(50):
        call = call_of()
        call.tag = "gray" if number % 2 else ""
        assert quiet.route(call, pool).endpoints == told.route(call, pool, []).endpoints


# Whatever the rules.

CALLERS = st.sampled_from(
    [CallerInfo(id="c1"), CallerInfo(id="c1", zone="a", host="10.0.0.1"), CallerInfo(id="c2", zone="b", app="shop")]
)
WHEN = st.sampled_from(["", "method = get", "method = other", "argument.key = a*", "tag = gray", "caller.zone = a"])
TO = st.sampled_from(["", "zone = a", "zone = $caller.zone", "version = 2", "version = 9", "tags.tag != gray"])
COMMON: dict[str, Any] = {"force": st.booleans(), "enabled": st.booleans(), "priority": st.integers(-1, 1)}


def rules_for(router: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"router": st.just(router), **COMMON, **fields})


DESTINATIONS = st.lists(st.fixed_dictionaries({"where": TO, "weight": st.integers(1, 100)}), max_size=3)
RULES = st.one_of(
    rules_for("condition", when=WHEN, to=TO | DESTINATIONS),
    rules_for("canary", when=WHEN, to=TO.filter(bool), percent=st.floats(0, 100), key=st.sampled_from(["", "tag"])),
    rules_for(
        "tag", tags=st.sampled_from([{}, {"gray": ["10.0.0.1"]}, {"gray": ["10.0.0.0/30"], "blue": ["10.0.0.5"]}])
    ),
    rules_for(
        "zone", mode=st.sampled_from(["prefer", "only", "off"]), order=st.lists(st.sampled_from("abc"), max_size=2)
    ),
    rules_for("local"),
    rules_for("subset", size=st.integers(1, 5)),
    rules_for("group", when=WHEN, mix=st.sampled_from([["blue"], {"blue": 10, "default": 90}, {"red": 1}])),
)
CALLS = st.builds(
    lambda key, tag: Call(call_of().method, (key,), "S", Deadline(5.0, 5.0), FakeDriver(), tag=tag),
    st.sampled_from(["ada", "bob", ""]),
    st.sampled_from(["", "gray", "blue", "none"]),
)
PLACES = st.fixed_dictionaries(
    {
        "is_unhealthy": st.booleans(),
        "zone": st.sampled_from(["a", "b", "c", ""]),
        "version": st.sampled_from(["1", "2"]),
        "tags": st.sampled_from([{}, {}, {"tag": "gray"}]),
        "group": st.sampled_from(["default", "default", "blue"]),
    }
)
ALL = (st.lists(RULES, max_size=5), CALLERS, st.lists(CALLS, min_size=1, max_size=3), st.lists(PLACES, max_size=8))


@settings(max_examples=400)
@given(*ALL, st.integers(0, 99))
def test_each_call_is_explained_and_goes_where_it_was_said(
    rules: list[Any], caller: CallerInfo, calls: list[Call], places: list[Any], seed: int
) -> None:
    pool = Pool([FakeEndpoint(number, **fields) for number, fields in enumerate(places)])
    quiet, told = chain(*rules, caller=caller, seed=seed), chain(*rules, caller=caller, seed=seed)
    for call in calls * 2:
        steps: list[Step] = []
        found = told.route(call, pool, steps)
        assert quiet.route(call, pool).endpoints == found.endpoints
        assert set(found.endpoints) <= set(pool.endpoints)
        assert steps
        assert steps[0].before == len(pool)
        assert [step.after for step in steps[:-1]] == [step.before for step in steps[1:]]
        assert steps[-1].after == len(found)
        assert all(step.after <= step.before for step in steps)
        assert all(step.why for step in steps)
        if not found.endpoints:
            reason = no_instance_reason("demo.Users", steps)
            assert reason.startswith("no instance of demo.Users ")
            assert ": excluded by router " not in reason, "built-in routers have their own messages"


@given(*ALL)
def test_rules_without_force_lose_no_call(
    rules: list[Any], caller: CallerInfo, calls: list[Call], places: list[Any]
) -> None:
    # Tags, zones that are `only` and the group at home are strict without `force`.
    mild = [
        {**rule, "force": False, **({"mode": "prefer"} if rule["router"] == "zone" else {})}
        for rule in rules
        if rule["router"] not in ("tag", "group")
    ]
    pool = Pool([FakeEndpoint(number, **fields) for number, fields in enumerate(places)])
    quiet = chain(*mild, {"router": "tag", "enabled": False}, caller=caller)
    for call in calls:
        assert bool(quiet.route(call, pool).endpoints) is bool(pool.endpoints)
