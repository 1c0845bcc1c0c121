"""What every router has to do: one suite, for ours and for yours.

from idlrt.testing import check_router

def test_mine() -> None:
    check_router(lambda here, chance: Mine(Mine.Rule(router="mine"), here, chance))
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from idlrt.core import Call, Chance, Deadline, Instance
from idlrt.route import Chain, Here, Pool, Router, Step, explain
from idlrt.spec import STRING, VOID, method, optional
from idlrt.testing.balancers import call_of
from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.threads import use_at_once

__all__ = ["Place", "check_router"]

Make = Callable[[Here, Chance], Router]


class Place:
    """Something to route to: a `Routable`."""

    def __init__(self, number: int, *, is_out: bool = False, **fields: Any) -> None:
        host = f"10.0.{number // 250}.{number % 250}"
        given: dict[str, Any] = {"service": "Check", "host": host, "port": 9090, **fields}
        self.instance = Instance(**given)
        self.is_out = is_out

    def __repr__(self) -> str:
        return f"<Place {self.instance.id}{' (out)' if self.is_out else ''}>"


class _Service:
    def nothing(self) -> None:
        """A method without arguments."""

    def find(self, query: str | None = None) -> None:
        """A method with an argument that may be left out."""


_NOTHING = method(_Service.nothing, result=VOID)
_FIND = method(_Service.find, optional(1, "query", STRING), result=VOID)


def check_router(make: Make) -> None:
    """Check a router.

    Args:
        make: makes it, for a caller and a `Chance`.

    Raises:
        AssertionError: it does not do what it has to.
    """
    for here in (Here(), Here(id="me", zone="eu-1", host="10.0.0.1", addresses=("10.0.0.2",))):
        for nodes in _populations():
            for call in _calls():
                _narrows(make, here, call, nodes)
        _threads(make, here)
    groups = make(Here(), _chance()).groups()
    assert all(isinstance(group, str) for group in groups), "groups are names"


def _narrows(make: Make, here: Here, call: Call, nodes: Sequence[Place]) -> None:
    pool = Pool(nodes)
    dice = _Dice()
    router, again = make(here, Chance(now=lambda: 1000.0, dice=dice.throw)), make(here, _chance())
    is_idle = router.is_idle(pool)
    thrown = dice.thrown
    before = _fields(call)
    for _ in range(20):
        steps: list[Step] = []
        told = router.route(call, pool, steps)
        quiet = again.route(call, pool, None)
        assert set(told.nodes) <= set(pool.nodes), "who was not in the pool is not in what becomes of it"
        assert len(set(told.nodes)) == len(told.nodes), "nobody is in a pool twice"
        assert quiet.nodes == told.nodes, "with the same dice it decides alike, whoever wants to know why"
        assert not is_idle or told is pool, "who says that nothing is narrowed narrows nothing"
        assert not is_idle or dice.thrown == thrown, "who says that nothing is narrowed throws no dice"
        assert steps, "it says what it has decided"
        assert steps[0].before == len(pool), "the first step begins with what there was"
        assert steps[-1].after == len(told), "the last step ends with what is left"
        assert all(step.why and step.router for step in steps), "steps say which router it was, and why"
        assert told.nodes or not nodes or steps[-1].why.startswith("none "), "who leaves nobody says `none ...`"
    assert pool.nodes == tuple(nodes), "pools do not change"
    assert _fields(call) == before, "calls are not changed"
    chain = Chain([router])
    assert explain(chain, call, pool), "a chain with it explains itself"


def _fields(call: Call) -> dict[str, Any]:
    return {**msgspec.structs.asdict(call), "metadata": dict(call.metadata)}


def _populations() -> Iterator[list[Place]]:
    yield []
    yield [Place(1)]
    yield [Place(1, is_out=True)]
    zones = ("eu-1", "eu-2", "")
    tags: list[dict[str, str]] = [{}, {"tag": "gray"}, {"tag": "blue"}]
    dice = random.Random(11)
    for count in (2, 5, 40):
        for out in (0.0, 0.5, 1.0):
            yield [
                Place(
                    number,
                    is_out=dice.random() < out,
                    zone=dice.choice(zones),
                    tags=dice.choice(tags),
                    group=dice.choice(("default", "blue", "green")),
                    version=dice.choice(("", "1.0", "2.0")),
                    weight=dice.choice((0, 1, 100)),
                )
                for number in range(count)
            ]


def _calls() -> Iterator[Call]:
    """Odd ones too."""
    deadline, driver = Deadline(5.0, 5.0), FakeDriver()
    yield call_of("key")
    yield Call(_NOTHING, (), "check", deadline, driver)
    yield Call(_FIND, (), "", deadline, driver)
    yield Call(_FIND, (None,), "check", deadline, driver, {"user": "ada", "": ""})
    yield Call(_FIND, (b"\xff\xfe",), "check", deadline, driver)
    for tag in ("gray", "nobody's", "\ud800"):
        yield Call(_FIND, ([object()],), "check", deadline, driver, tag=tag)


def _threads(make: Make, here: Here) -> None:
    """Threads may use it at once."""
    router = make(here, Chance(now=lambda: 1000.0))
    wrong: list[BaseException | str] = []

    def use() -> None:
        for number in range(50):
            nodes = [Place(each, zone="eu-1" if each % 2 else "eu-2") for each in range(number % 7)]
            pool = Pool(nodes)
            for _ in range(5):
                if not set(router.route(call_of(str(number)), pool, None).nodes) <= set(nodes):
                    wrong.append("who was not in the pool is not in what becomes of it")

    use_at_once(use)
    assert not wrong, wrong[:3]


class _Dice:
    """How often they were thrown can be seen."""

    def __init__(self) -> None:
        self.thrown = 0
        self._random = random.Random(7)

    def throw(self) -> float:
        self.thrown += 1
        return self._random.random()


def _chance() -> Chance:
    return Chance(now=lambda: 1000.0, dice=_Dice().throw)
