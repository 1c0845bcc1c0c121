"""Keys, allowed values, and errors about invalid ones."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from idlrt.balance import BALANCERS
from idlrt.config import Problem, check, flatten, invalid
from idlrt.config.schema import Section, decoded, fields, locate, nested, parse_enabled, sections, suggestion
from idlrt.fault import FAULT_MODES
from idlrt.guard import GUARDS

# Nested tables become dotted keys.


FLAT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"timeout": 2}, {"timeout": 2}),
    ({"hedge": {"delay": 0.1}}, {"hedge.delay": 0.1}),
    ({"hedge.delay": 0.1}, {"hedge.delay": 0.1}),
    (
        {"methods": {"get": {"timeout": 1, "hedge": {"delay": 2}}}},
        {"methods.get.timeout": 1, "methods.get.hedge.delay": 2},
    ),
    ({"methods.get": {"timeout": 1}}, {"methods.get.timeout": 1}),
    ({"methods": {"get.hedge": {"delay": 2}}}, {"methods.get.hedge.delay": 2}),
    # Below a field a table is its value.
    ({"fallback": {"values": {"get": {"id": 1}}}}, {"fallback.values": {"get": {"id": 1}}}),
    ({"methods": {"get": {"fallback": {"value": {"id": 1}}}}}, {"methods.get.fallback.value": {"id": 1}}),
    ({"routes": [{"router": "zone"}]}, {"routes": [{"router": "zone"}]}),
    # An empty table of a guard says that it stands; others say nothing.
    ({"limiter": {}}, {"limiter.enabled": True}),
    ({"methods": {"get": {"limiter": {}}}}, {"methods.get.limiter.enabled": True}),
    ({"hedge": {}, "backoff": {}, "methods": {}}, {}),
    ({"methods": {"get": {}}}, {}),
    ({"methods": {"get": {"nosuch": {}}}}, {"methods.get.nosuch": {}}),
    ({"nosuch": {}, "timeout": {}}, {"nosuch": {}, "timeout": {}}),
]


@pytest.mark.parametrize(("tables", "flat"), FLAT, ids=[str(each[0])[:50] for each in FLAT])
def test_nested_tables_are_dotted_keys(tables: dict[str, Any], flat: dict[str, Any]) -> None:
    assert flatten(tables) == flat


def test_checked_values_by_table_and_field() -> None:
    values = {
        "timeout": 2,
        "panic_threshold": 0.3,
        "hedge.delay": 0.1,
        "hedge.max_attempts": 3,
        "limiter.enabled": False,
        "odd": 1,
    }
    assert nested(values) == {
        "": {"timeout": 2},
        "service": {"panic_threshold": 0.3},
        "hedge": {"delay": 0.1, "max_attempts": 3},
        "limiter": {"enabled": False},
    }


# Where a key stands.


def test_keys_are_parsed() -> None:
    assert locate("timeout") == ("", "", "timeout")
    assert locate("panic_threshold") == ("", "service", "panic_threshold")
    assert locate("hedge.delay") == ("", "hedge", "delay")
    assert locate("limiter.enabled") == ("", "limiter", "enabled")
    assert locate("methods.get.timeout") == ("get", "", "timeout")
    assert locate("methods.get.limiter.rate") == ("get", "limiter", "rate")


WRONG_KEYS: list[tuple[str, str]] = [
    ("timeot", "unknown key; did you mean 'timeout'?"),
    ("qqqq", "unknown key (known: timeout, attempt_timeout, balancer, fault,"),
    ("", "unknown key (known: timeout,"),
    ("service", "unknown key"),
    ("hedge", "hedge is a table; set one of hedge.max_extra_load, hedge.delay,"),
    ("limiter", "limiter is a table; set one of limiter.rate, limiter.burst, limiter.per,"),
    ("failover", "failover has no settings"),
    ("failover.retries", "failover has no settings"),
    ("hedge.dely", "hedge has no key 'dely'; did you mean 'delay'?"),
    ("hedge.delay.x", "hedge has no key 'delay.x'; did you mean 'delay'?"),
    ("hedge.enabled", "hedge has no key 'enabled'"),
    ("limiter.enabld", "limiter has no key 'enabld'; did you mean 'enabled'?"),
    ("hedg.delay", "unknown table 'hedg'; did you mean 'hedge'?"),
    (".delay", "unknown table '' (known: backoff,"),
    ("service.panic_threshold", "unknown table 'service'"),
    ("methods", "methods is a table; set methods.NAME.KEY, as in methods.get.timeout"),
    ("methods.get", "must be methods.NAME.KEY, as in methods.get.timeout"),
    ("methods.", "must be methods.NAME.KEY"),
    ("methods..timeout", "must be methods.NAME.KEY"),
    ("methods.get.timeot", "unknown key; did you mean 'timeout'?"),
    ("methods.get.hedge.dely", "hedge has no key 'dely'; did you mean 'delay'?"),
    ("methods.get.routes", "routes applies to a whole service, not to a single method"),
    ("methods.get.panic_threshold", "panic_threshold applies to a whole service, not to a single method"),
    ("methods.get.budget.ratio", "budget applies to a whole service, not to a single method"),
    ("methods.get.ejection.base_ejection_time", "ejection applies to a whole service, not to a single method"),
    ("methods.get.methods.put.timeout", "unknown table 'methods'"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "why"), WRONG_KEYS, ids=[each[0] for each in WRONG_KEYS])
def test_errors_about_unknown_keys_suggest_known_ones(key: str, why: str) -> None:
    (problem,) = check({key: 1})
    assert problem.key == key
    assert problem.why.startswith(why)


# What values may be.


WRONG_VALUES: list[tuple[str, Any, str, str]] = [
    ("timeout", 0, "timeout", "must be at least 1e-09 seconds, got 0"),
    ("timeout", "soon", "timeout", "expected a number of seconds, got 'soon'"),
    ("timeout", float("inf"), "timeout", "must be at most 2000000 seconds, got inf"),
    ("timeout", "inf", "timeout", "must be at most 2000000 seconds, got 'inf'"),
    ("timeout", float("nan"), "timeout", "must be at least 1e-09 seconds, got nan"),
    ("timeout", {}, "timeout", "expected a number of seconds, got {}"),
    ("limiter.burst", 10**400, "limiter.burst", "must be at most 1000000000, got 1000"),
    ("retries", -1, "retries", "must be at least 0, got -1"),
    ("retries", "2.5", "retries", "expected an integer, got '2.5'"),
    ("retries", [1], "retries", "expected an integer, got [1]"),
    ("idempotent", "maybe", "idempotent", "expected true or false, got 'maybe'"),
    ("panic_threshold", 1.5, "panic_threshold", "must be at most 1, got 1.5"),
    ("backoff.jitter", 2, "backoff.jitter", "must be at most 1, got 2"),
    ("balancer", "p3c", "balancer", "unknown balancer 'p3c' (known: consistent_hash,"),
    ("methods.get.fault", "failovr", "methods.get.fault", "unknown fault mode 'failovr'"),
    ("breaker.per", "host", "breaker.per", 'expected "method" or "service", got \'host\''),
    ("breaker.enabled", "perhaps", "breaker.enabled", "expected true or false, got 'perhaps'"),
    ("breaker.enabled", 2, "breaker.enabled", "expected true or false, got 2"),
    ("breaker.enabled", None, "breaker.enabled", "expected true or false, got None"),
    ("fallback.on", ["NotSent", "Nosuch"], "fallback.on", "cannot set a fallback for 'Nosuch': unknown error class"),
    ("fallback.on", [1], "fallback.on[0]", "expected a string, got an integer"),
    ("routes", "zone", "routes", "expected a list, got 'zone'"),
    ("routes", "[{", "routes", "invalid JSON '[{'"),
    ("routes", "[" * 100_000, "routes", "invalid JSON '[[[[["),
    ("routes", [1], "routes[0]", "expected a table of keys and values, got int"),
    ("routes", [{"router": "zone"}, {"router": "zoned"}], "routes[1].router", "unknown router 'zoned'"),
    ("routes", [{"router": "canary", "percent": 101}], "routes[0].percent", "expected `float` <= 100.0"),
    ("routes", [{"wen": "x"}], "routes[0].wen", "unknown key of a condition rule (known: "),
    ("routes", [{"when": "metod = get", "to": ""}], "routes[0].when", "invalid condition 'metod = get'"),
    ("routes", '[{"router": "group", "mix": {}}]', "routes[0].mix", "expected at least one group"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "where", "why"), WRONG_VALUES, ids=[f"{each[0]}={str(each[1])[:20]}" for each in WRONG_VALUES]
)
def test_errors_about_values_name_their_place(key: str, value: Any, where: str, why: str) -> None:
    (problem,) = check({key: value})
    assert problem.key == where
    assert problem.why.startswith(why)


@pytest.mark.parametrize(
    "flat",
    [
        {"timeout": "2", "retries": "3", "idempotent": "true", "attempt_timeout": "null"},
        {"timeout": 2, "retries": 3, "idempotent": True, "attempt_timeout": None},
        {"breaker.enabled": "false", "limiter.enabled": True, "shedder.enabled": 0},
        {"routes": '[{"router": "zone", "mode": "only"}]', "fallback.values": '{"get": 5}'},
        {"methods.get.balancer": "maglev", "maglev.balance_factor": "1.25"},
        # The history that a registry keeps beside settings.
        {"config.version": "7", "config.history": "whatever"},
    ],
)
def test_valid_values_and_texts(flat: dict[str, Any]) -> None:
    assert check(flat) == []


def test_one_error_does_not_hide_another() -> None:
    found = check({"timeot": 1, "retries": -1, "timeout": 2, "hedge.delay": "x"})
    assert [each.key for each in found] == ["timeot", "retries", "hedge.delay"]
    assert str(invalid(found[:1], "caller")) == f"caller: {found[0]}"
    lines = str(invalid(found, "caller")).splitlines()
    assert lines[0] == "caller: 3 problems:"
    assert lines[1:] == [f"  {each}" for each in found]


def test_json_text_is_decoded() -> None:
    assert decoded("[1]") == [1]
    assert decoded('{"a": 1}') == {"a": 1}
    assert decoded("1") == "1"
    assert decoded(1) == 1


@pytest.mark.parametrize(
    ("value", "is_on"),
    [(True, True), ("true", True), ("1", True), (1, True), (False, False), ("false", False), ("0", False), (0, False)],
)
def test_enabled_is_parsed_as_a_boolean(value: object, is_on: bool) -> None:
    assert parse_enabled(value) is is_on


def test_suggestions() -> None:
    assert suggestion("balencer", ["balancer", "fault"]) == "; did you mean 'balancer'?"
    assert suggestion("x", ["balancer", "fault"]) == " (known: balancer, fault)"


# All tables.


@pytest.mark.parametrize("table", sections(), ids=lambda each: each.name or "calls")
def test_each_table_may_be_empty_and_each_default_is_valid(table: Section) -> None:
    defaults = msgspec.convert({}, table.settings)
    prefix = "" if table.name in ("", "service") else f"{table.name}."
    said = {prefix + name: msgspec.to_builtins(getattr(defaults, name)) for name in fields(table)}
    assert check(said) == []
    for name in fields(table):
        assert locate(prefix + name) == ("", table.name, name)


def test_names_are_unique() -> None:
    plugins = [name for each in (FAULT_MODES, GUARDS, BALANCERS) for name in each.names()]
    top = [name for each in sections() if each.name in ("", "service") for name in fields(each)]
    assert "panic_threshold" in top
    own = ["backoff", "budget", "ejection", "instance_breaker", "methods", "config", "service"]
    names = [*plugins, *top, *own]
    assert len(names) == len(set(names))


def test_problems_read_as_lines() -> None:
    assert str(Problem("timeout", "it is odd")) == "timeout: it is odd"
