"""Rules of sampling: validation, matching, expiry, caps."""

from __future__ import annotations

import datetime
import random
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.context import TraceContext
from idlrt.observe.tracing.sampling import (
    Never,
    ParentBased,
    Ratio,
    Rules,
    SampleRequest,
    SamplingRule,
    read_rules,
    standard_sampler,
)

HIGH, LOW = "a" * 18 + "f" * 14, "a" * 18 + "0" * 14
NOON = datetime.datetime(2026, 12, 1, 12, tzinfo=datetime.UTC)


class Time:
    def __init__(self) -> None:
        self.at = NOON.timestamp()
        self.sources = ClockAndRandom(now=lambda: self.at, rng=random.Random(1).random)


def ruled(text: str, time: Time | None = None, **more: Any) -> Rules:
    time = time or Time()
    return Rules(read_rules(text), Never(), time.sources, wall=lambda: time.at, **more)


def request(method: str = "Cart.add", caller: str = "shop", trace_id: str = LOW, **tags: str) -> SampleRequest:
    return SampleRequest(trace_id, method, caller, tags)


def test_every_call_of_a_user_for_ten_minutes() -> None:
    time = Time()
    rules = ruled('[{"tags": {"user": "42"}, "force": true, "until": "2026-12-01T12:10:00Z"}]', time)
    assert rules.decide(request(user="42")).reason == "rule"
    assert rules.decide(request(user="42")).is_sampled
    assert not rules.decide(request(user="43")).is_sampled
    assert not rules.decide(request()).is_sampled
    assert len(rules.rules) == 1
    time.at += 599
    assert rules.decide(request(user="42")).is_sampled
    time.at += 1
    assert not rules.decide(request(user="42")).is_sampled
    assert rules.rules == ()


def test_the_first_rule_that_matches_decides() -> None:
    rules = ruled(
        """[{"method": "Health.*", "ratio": 0},
            {"method": "Cart.*", "caller": "batch-*", "ratio": 0.5},
            {"method": "*.pay", "rate": 2},
            {"method": "Cart.*", "ratio": 1}]"""
    )
    assert not rules.decide(request("Health.ping", trace_id=HIGH)).is_sampled
    assert not rules.decide(request("Cart.add", "batch-1", LOW)).is_sampled
    found = rules.decide(request("Cart.add", "batch-1", HIGH))
    assert (found.is_sampled, found.threshold) == (True, 0x80000000000000)
    assert rules.decide(request("Cart.add", "shop", LOW)).is_sampled
    assert sum(rules.decide(request("Order.pay")).is_sampled for _ in range(50)) == 2
    assert rules.decide(request("Order.list")).reason == "ratio"


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("Cart.add", "Cart.add", True),
        ("Cart.add", "Cart.addAll", False),
        ("Cart.*", "Cart.", True),
        ("*.add", "a.b.add", True),
        ("C*t.a*d", "Cart.add", True),
        ("Cart?add", "Cart.add", False),
        ("C[a]rt.*", "C[a]rt.x", True),
        ("C[a]rt.*", "Cart.x", False),
        ("*", "anything", True),
        ("a*\n", "ab\n", True),
    ],
)
def test_patterns(pattern: str, text: str, is_match: bool) -> None:
    rules = Rules(read_rules([{"method": pattern, "ratio": 1}]), Never())
    assert rules.decide(request(text)).is_sampled == is_match
    rules = Rules(read_rules([{"tags": {"a": pattern}, "ratio": 1}]), Never())
    assert rules.decide(request(a=text)).is_sampled == is_match


def test_claims_of_callers_that_are_not_trusted_match_nothing() -> None:
    rules = ruled('[{"tags": {"user": "42"}, "force": true}, {"caller": "shop", "ratio": 1}]')
    trusted = request(user="42")
    assert rules.decide(trusted).is_sampled
    assert not rules.decide(SampleRequest(LOW, "Cart.add", "shop", {"user": "42"}, is_trusted=False)).is_sampled
    assert ruled('[{"method": "Cart.*", "ratio": 1}]').decide(
        SampleRequest(LOW, "Cart.add", is_trusted=False)
    ).is_sampled  # fmt: skip


def test_forced_traces_are_capped() -> None:
    time = Time()
    rules = ruled('[{"tags": {"user": "*"}, "force": true}]', time, max_forced=5)
    decisions = [rules.decide(request(user="42")) for _ in range(100)]
    assert 5 <= sum(each.is_sampled for each in decisions) <= 10
    # Beyond the cap, other samplers decide.
    assert decisions[-1].reason == "ratio"
    time.at += 1
    assert rules.decide(request(user="42")).is_sampled


def test_rules_are_replaced_at_run_time() -> None:
    time = Time()
    rules = ruled('[{"method": "Order.*", "rate": 1}]', time)
    assert rules.decide(request("Order.pay")).is_sampled
    assert not rules.decide(request("Order.pay")).is_sampled
    # A rule that stays keeps what it has counted.
    rules.replace(read_rules('[{"method": "Cart.*", "ratio": 1}, {"method": "Order.*", "rate": 1}]'))
    assert not rules.decide(request("Order.pay")).is_sampled
    assert rules.decide(request("Cart.add")).is_sampled
    rules.replace([])
    assert not rules.decide(request("Cart.add")).is_sampled


def test_methods_that_are_remembered_are_bounded_and_replaced_while_threads_decide() -> None:
    rules = ruled('[{"method": "m*", "ratio": 1}]')
    stop = threading.Event()
    wrong: list[object] = []

    def decide() -> None:
        for at in range(3000):
            if not rules.decide(request(f"m{at}")).is_sampled:
                wrong.append(at)
        stop.set()

    thread = threading.Thread(target=decide)
    thread.start()
    while not stop.is_set():
        rules.replace(read_rules('[{"method": "x", "ratio": 0}, {"method": "m*", "ratio": 1}]'))
    thread.join()
    assert wrong == []
    assert not rules.decide(request("x")).is_sampled


def test_the_order_of_parent_and_rules_is_that_of_nesting() -> None:
    rule = read_rules('[{"tags": {"user": "42"}, "force": true}]')
    parent = TraceContext(LOW, "1" * 16, False)
    call = SampleRequest(LOW, "Cart.add", "shop", {"user": "42"}, parent)
    assert not ParentBased(Rules(rule, Never())).decide(call).is_sampled
    assert Rules(rule, ParentBased(Never())).decide(call).is_sampled


def test_the_usual_chain() -> None:
    time = Time()
    text = '[{"method": "Health.*", "ratio": 0}, {"tags": {"user": "42"}, "force": true}]'
    sampler, rules = standard_sampler(Ratio(0.5), rules=read_rules(text), cap=50, sources=time.sources)
    assert not sampler.decide(request("Health.ping")).is_sampled
    assert sampler.decide(request("Cart.add")).reason == "floor"
    assert not sampler.decide(request("Cart.add")).is_sampled
    assert sampler.decide(request("Cart.add", trace_id=HIGH)).threshold == 0x80000000000000
    assert sampler.decide(request("Cart.add", user="42")).reason == "rule"
    assert sum(sampler.decide(request(trace_id=HIGH)).is_sampled for _ in range(1000)) <= 60
    rules.replace([])
    time.at += 10
    assert not sampler.decide(request("Cart.add", user="42")).is_sampled


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "rules: invalid JSON"),
        ("[" * 10_000, "rules: invalid JSON"),
        (b"\xff", "rules: invalid JSON"),
        ("{}", "rules: expected a list of rules, got dict"),
        ("7", "rules: expected a list of rules, got int"),
        ("[7]", r"rules\[0\]: expected a table of keys and values, got int"),
        ('[{"ratio": 1}, {}]', r"rules\[1\]: set exactly one of force, ratio and rate .*, got none of them"),
        ('[{"ratio": 1, "rate": 2}]', r"rules\[0\]: set exactly one of .*, got ratio and rate"),
        ('[{"force": true}]', r"rules\[0\]: force needs a method, a caller or tags; to sample all, set ratio: 1"),
        ('[{"ratio": 2}]', r"rules\[0\]\.ratio: expected `float` <= 1.0, got 2"),
        ('[{"ratio": "1"}]', r"rules\[0\]\.ratio: expected `float \| null`, got `str`, got '1'"),
        ('[{"rate": 0}]', r"rules\[0\]\.rate: expected `float` > 0.0, got 0"),
        ('[{"force": 1, "method": "a"}]', r"rules\[0\]\.force: expected `bool`, got `int`, got 1"),
        ('[{"ratio": 1, "metod": "a"}]', r"rules\[0\]: unknown key 'metod' \(known: .*\); did you mean 'method'\?"),
        ('[{"ratio": 1, "tags": {"a": 1}}]', r"rules\[0\]\.tags"),
        ('[{"ratio": 1, "tags": {"": "a"}}]', r"rules\[0\]\.tags"),
        (
            '[{"ratio": 1, "until": "tomorrow"}]',
            r"rules\[0\]\.until: expected a time with a zone, such as .*'tomorrow'",
        ),
        ('[{"ratio": 1, "until": "2026-12-01T12:00:00"}]', r"rules\[0\]\.until: expected a time with a zone"),
        ('[{"ratio": 1, "until": 5}]', r"rules\[0\]\.until: expected a time with a zone"),
        ([{"ratio": 1}] * 101, "rules: at most 100 rules, got 101"),
        ("[" + " " * 70_000 + "]", "rules: at most 65536 bytes of JSON"),
        ([{"ratio": 1, "tags": {f"t{at}": "" for at in range(11)}}], r"rules\[0\]\.tags: at most 10 tags, got 11"),
        ([{"ratio": 1, "method": "x" * 257}], r"rules\[0\]\.method: expected `str` of length <= 256"),
    ],
)
def test_invalid_rules_are_explained(value: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        read_rules(value, "rules")


def test_rules_from_tables_and_objects() -> None:
    rule = SamplingRule(method="a", ratio=0.5, until=NOON)
    assert read_rules([{"method": "a", "ratio": 0.5, "until": NOON}]) == (rule,)
    assert read_rules([rule]) == (rule,)
    assert read_rules("") == read_rules(" \n") == read_rules([]) == ()
    assert read_rules(msgspec.json.encode([rule])) == (rule,)
    with pytest.raises(ConfigurationError, match="exactly one"):
        read_rules([SamplingRule()])


@given(st.text(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([*SamplingRule.__struct_fields__, "x"]), inner, max_size=4
    ),
))  # fmt: skip
def test_nothing_but_configuration_errors(value: object) -> None:
    try:
        rules = read_rules(value)
    except ConfigurationError:
        return
    Rules(rules, Never()).decide(request())
