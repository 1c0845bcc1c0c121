"""Commands of Motan as rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.route import CallerInfo, Pool, make_chain
from idlrt.route.motan import fits_pattern, from_motan_command
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint

PATH = "com.demo.UserService"


def command(*parts: dict[str, Any]) -> str:
    return json.dumps({"clientCommandList": [{"index": 0, "version": "1.0", "pattern": "*", **part} for part in parts]})


def rules(*parts: dict[str, Any], service: str = PATH) -> list[dict[str, Any]]:
    return from_motan_command(command(*parts), service)


@pytest.mark.parametrize(
    ("pattern", "is_fitting"),
    [
        ("*", True),
        (PATH, True),
        ("com.demo.*", True),
        ("com.demo.User", False),
        ("com.other.*", False),
        ("!com.other.*", True),
        ("!!com.demo.*", True),
        ("com.other.* | com.demo.*", True),
        ("com.demo.* & !com.demo.User*", False),
        ("com.demo.*&(com.x|com.demo.U*)", True),
        # `&` before `|`.
        ("com.demo.* | a & b", True),
        ("a & b | com.demo.*", True),
        ("(com.demo.* | a) & b", False),
        ("!(a | b)", True),
        ("!a & com.demo.*", True),
    ],
)
def test_patterns(pattern: str, is_fitting: bool) -> None:
    assert fits_pattern(pattern, PATH) is is_fitting


@pytest.mark.parametrize(
    "pattern",
    ["", " ", "a &", "| a", "(a", "a)", "a b", "!", "()", "a && b", "a*b", "a ^ b", "!" * 99 + "a", "(" * 999],
)
def test_patterns_that_cannot_be_read(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^pattern: invalid pattern "):
        fits_pattern(pattern, PATH)


EXPRESSIONS = st.recursive(
    st.sampled_from([("a*", "True"), ("b", "False"), (PATH, "False"), ("abc", "True")]),
    lambda inner: st.one_of(
        inner.map(lambda one: (f"!({one[0]})", f"(not ({one[1]}))")),
        st.tuples(inner, st.sampled_from([("&", "and"), ("|", "or")]), inner).map(
            lambda each: (f"{each[0][0]} {each[1][0]} {each[2][0]}", f"{each[0][1]} {each[1][1]} {each[2][1]}")
        ),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_patterns_are_those_of_python_in_other_signs(expression: tuple[str, str]) -> None:
    pattern, python = expression
    assert fits_pattern(pattern, "abc") is eval(python)


def test_groups_with_and_without_weights() -> None:
    assert rules({"mergeGroups": ["blue:90", "green:10"]}) == [
        {"router": "group", "name": "motan-0", "mix": {"blue": 90, "green": 10}}
    ]
    assert rules({"mergeGroups": ["blue", "green"]})[0]["mix"] == ["blue", "green"]


def test_the_first_by_index_that_fits_counts() -> None:
    parts = [
        {"index": 3, "mergeGroups": ["three"]},
        {"index": 2, "mergeGroups": ["two"]},
        {"index": 1, "mergeGroups": ["one"], "pattern": "com.other.*"},
    ]
    assert rules(*parts)[0]["mix"] == ["two"]
    assert rules(*parts, service="com.other.X")[0]["mix"] == ["one"]
    assert rules({"pattern": "com.other.*", "mergeGroups": ["a"]}) == []
    assert from_motan_command(" ", PATH) == from_motan_command("{}", PATH) == []


def test_routes_leave_only_those_that_fit() -> None:
    pool = Pool([FakeEndpoint(1, host="10.73.1.1"), FakeEndpoint(2, host="10.73.2.1")])
    found = rules({"routeRules": ["10.75.* to 10.73.1.*", "!10.75.* to !10.73.1.*", "10.77.0.1 to !*"]})

    def hosts(own: str) -> list[str]:
        chain = make_chain(found, CallerInfo(addresses=(own,), host="web"), ClockAndRandom())
        return [endpoint.instance.host for endpoint in chain.route(call_of(), pool).endpoints]

    assert hosts("10.75.0.1") == ["10.73.1.1"]
    assert hosts("10.76.0.1") == ["10.73.2.1"]
    assert hosts("10.77.0.1") == []


def test_from_anywhere() -> None:
    pool = Pool([FakeEndpoint(1, host="10.73.1.1"), FakeEndpoint(2, host="10.73.2.1")])
    chain = make_chain(rules({"routeRules": ["* to 10.73.2.1"]}), CallerInfo(), ClockAndRandom())
    assert chain.route(call_of(), pool).endpoints == pool.endpoints[1:]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"commandType": 1}, "clientCommandList[1].commandType: must be 0 (traffic control), got 1"),
        ({"pattern": "a &"}, "clientCommandList[1].pattern: invalid pattern 'a &' before offset 3: expected a name"),
        ({"mergeGroups": ["a:0"]}, "clientCommandList[1].mergeGroups[0]: weight must be between 1 and 100, got 0"),
        ({"mergeGroups": ["a:101"]}, "clientCommandList[1].mergeGroups[0]: weight must be between 1 and 100, got 101"),
        (
            {"mergeGroups": ["a:5", "b"]},
            "clientCommandList[1].mergeGroups: either all groups must have weights",
        ),
        ({"mergeGroups": ["a", "a"]}, "clientCommandList[1].mergeGroups[1]: duplicate group 'a'"),
        ({"mergeGroups": ["a:x"]}, "clientCommandList[1].mergeGroups[0]: expected 'name' or 'name:weight', got 'a:x'"),
        ({"routeRules": ["10.0.*"]}, "clientCommandList[1].routeRules[0]: expected 'FROM to TO', as in "),
        ({"routeRules": ["a to b to c"]}, "clientCommandList[1].routeRules[0]: expected 'FROM to TO', as in "),
        ({"pattern": 5}, "invalid Motan command: "),
    ],
    ids=str,
)
def test_what_cannot_be_said(part: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        rules({"index": 5}, {"index": -1, **part})
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize("text", ["{", "5", "[]"])
def test_what_is_no_command(text: str) -> None:
    with pytest.raises(ConfigurationError, match="invalid Motan command"):
        from_motan_command(text, PATH)
