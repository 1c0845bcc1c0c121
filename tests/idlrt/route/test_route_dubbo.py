"""Conditions of Dubbo as rules."""

from __future__ import annotations

from typing import Any

import pytest

from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.route import CallerInfo, Pool, make_chain
from idlrt.route.dubbo import from_dubbo_condition
from idlrt.testing.balancers import call_of
from idlrt.testing.routers import FakeEndpoint


@pytest.mark.parametrize(
    ("text", "when", "to"),
    [
        ("method=find*,list* => host = 10.20.3.*", "method = find*, list*", "host = 10.20.3.*"),
        ("=> host != 172.22.3.91", "", "host != 172.22.3.91"),
        ("host = 10.20.153.10 => host = $host", "caller.host = 10.20.153.10", "host = $caller.host"),
        ("application = bops & method != get => port = 20880", "caller.app = bops & method != get", "port = 20880"),
        (
            "arguments[0]=a&attachments[user-id]=7=>version=1.*",
            "argument.0 = a & metadata.user-id = 7",
            "version = 1.*",
        ),
        ("true => dubbo.tag = gray", "", "tags.tag = gray"),
        ("region = hangzhou => region = $region", "caller.zone = hangzhou", "zone = $caller.zone"),
        ("owner = me => rack = 5", "caller.labels.owner = me", "metadata.rack = 5"),
        ("host = 1.2.3.4", "", "host = 1.2.3.4"),
        ("method = a b => owner = 1~2", 'method = "a b"', 'metadata.owner = "1~2"'),
    ],
)
def test_what_can_be_said(text: str, when: str, to: str) -> None:
    rule = from_dubbo_condition(text)
    assert rule == {"router": "condition", "when": when, "to": to, "force": False}
    make_chain([rule], CallerInfo(), ClockAndRandom())


@pytest.mark.parametrize("text", ["method = get =>", "method = get => false", "=>"])
def test_nothing_behind_the_arrow_forbids(text: str) -> None:
    pool = Pool([FakeEndpoint(1)])
    assert (
        make_chain([from_dubbo_condition(text)], CallerInfo(), ClockAndRandom()).route(call_of(), pool).endpoints == ()
    )


def test_force_and_priority() -> None:
    rule: dict[str, Any] = from_dubbo_condition("=> host = a", force=True, priority=3)
    assert (rule["force"], rule["priority"]) == (True, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method => host = a", "expected KEY = VALUES or KEY != VALUES, got 'method'"),
        ("method = a,, b => host = a", "expected a value for 'method'"),
        ("method = => host = a", "expected a value for 'method'"),
        ("cookie[a:b] = 1 => host = a", "unsupported key 'cookie\\[a:b\\]' on the left side \\(known: method, "),
        ("=> arguments[0] = 1", "on the right side \\(known: host, "),
        ("=> host = $method", "known: \\$host"),
        ("method = a b* => host = a", "has a star and characters that must be quoted"),
    ],
)
def test_what_cannot_be_said(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        from_dubbo_condition(text)
    assert str(raised.value).startswith(f"cannot convert Dubbo condition {text!r}: ")
