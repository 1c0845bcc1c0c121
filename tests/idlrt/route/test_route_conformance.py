"""Every router does what all have to do, whatever its rule says."""

from __future__ import annotations

from typing import Any

import pytest

from idlrt.core import Call, ClockAndRandom
from idlrt.route import ROUTERS, CallerInfo, Pool, Router, RouterBase, Rule, Step
from idlrt.route.rules import make_router, read_rule
from idlrt.testing import check_router

# More than a moment.
pytestmark = pytest.mark.slow

RULES: list[dict[str, Any]] = [
    {"router": "tag"},
    {"router": "tag", "force": True, "tags": {"gray": ["10.0.0.1:9090", "10.0.0.2", "10.0.0.4/30", "10.0.0.9:9090"]}},
    {"router": "condition", "to": ""},
    {"when": "method = get", "to": "version = 2.*"},
    {"to": "version = 7", "force": True},
    {"to": [], "force": True},
    {"when": "argument.query.deep.er = * & metadata.user != ada", "to": "zone = $caller.zone"},
    {"to": [{"where": ""}, {"where": ""}]},
    {"to": [{"where": "version = 1.*", "weight": 90}, {"where": "version = 2.*", "weight": 10}]},
    {"router": "canary", "to": "version = 2.*", "percent": 50},
    {"router": "canary", "to": "version = 2.*", "percent": 50, "key": "argument.query"},
    {"router": "canary", "to": "version = 7", "percent": 100, "force": True, "when": "argument.0 = *"},
    {"router": "canary", "to": "version = *", "percent": 0, "force": True, "key": "caller.id"},
    {"router": "zone"},
    {"router": "zone", "mode": "only"},
    {"router": "zone", "mode": "off"},
    {"router": "zone", "order": ["eu-2"]},
    {"router": "local"},
    {"router": "local", "force": True},
    {"router": "subset", "size": 1},
    {"router": "subset", "size": 7},
    {"router": "group", "mix": {"blue": 10, "green": 90}},
    {"router": "group", "mix": ["blue", "default"], "when": "tag != gray"},
    {"router": "group", "mix": ["red"], "force": True},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_conformance(rule: dict[str, Any]) -> None:
    check_router(lambda caller, sources: make_router(read_rule(rule, "rule"), caller, sources, "rule"))


def test_there_is_a_rule_here_for_every_router() -> None:
    assert {rule.get("router", "condition") for rule in RULES} == set(ROUTERS.names())


class Wrong(RouterBase):
    """A router that can be told to do wrong."""

    name = "wrong"
    how = ""

    def is_idle(self, pool: Pool[Any]) -> bool:
        return self.how.startswith("idle")

    def route(self, call: Call, pool: Pool[Any], steps: list[Step] | None) -> Pool[Any]:
        found = pool
        if self.how == "idle":
            found = Pool(pool.endpoints[1:])
        if self.how == "counts":
            found = Pool(pool.endpoints[:1])
        if self.how == "idle dice":
            self._sources.rng()
        if self.how == "looked at":
            found = pool if steps is None else Pool(pool.endpoints[:1])
        if self.how == "strangers":
            found = Pool([*pool.endpoints, object()])
        if self.how == "twice":
            found = Pool(pool.endpoints * 2)
        if self.how == "metadata":
            call.metadata["user"]
        if self.how == "writes":
            call.metadata["seen"] = "yes"
        if self.how == "nobody":
            found = pool.empty
        if steps is not None and self.how != "silent":
            self._add_step(steps, "it is so", pool, pool if self.how == "counts" else found)
        return found


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("idle", "narrowed the pool although is_idle"),
        ("idle dice", "used a random number although is_idle"),
        ("looked at", "same pool with and without steps"),
        ("strangers", "returned an instance that is not in the pool"),
        ("twice", "returned an instance twice"),
        ("writes", "must not change the call"),
        ("nobody", "must start with 'none '"),
        ("counts", "must be the size of the returned pool"),
        ("silent", "must append at least one step"),
    ],
)
def test_what_is_wrong_is_found(how: str, said: str) -> None:
    def make(caller: CallerInfo, sources: ClockAndRandom) -> Router:
        router = Wrong(Rule(), caller, sources)
        router.how = how
        return router

    with pytest.raises(AssertionError, match=said):
        check_router(make)


def test_odd_calls_are_found() -> None:
    def make(caller: CallerInfo, sources: ClockAndRandom) -> Router:
        router = Wrong(Rule(), caller, sources)
        router.how = "metadata"
        return router

    with pytest.raises(KeyError):
        check_router(make)
