"""Order of built-in guards and of plugins that declare their place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import ConfigurationError
from idlrt.guard import GUARDS
from idlrt.guard.order import check_place, ordered
from idlrt.plugins import UnknownPlugin

BUILT_IN = ["fallback", "deadline", "shedder", "admission", "limiter", "breaker", "concurrency", "bulkhead"]


def with_plugins(**declared: dict[str, Any]) -> Any:
    """Find the built-in guards, and others that declare this."""
    classes = {name: type(name.title(), (), declaration) for name, declaration in declared.items()}

    def find(name: str) -> Any:
        return classes[name] if name in classes else GUARDS.get(name)

    return find


def test_the_built_in_guards() -> None:
    assert ordered(GUARDS.names()) == BUILT_IN
    for some in combinations(BUILT_IN, 3):
        assert ordered(reversed(some)) == list(some)
    assert ordered([]) == []
    assert ordered(["limiter"]) == ["limiter"]


def test_plugins_without_a_declaration_are_last_by_name() -> None:
    find = with_plugins(zeta={}, alpha={})
    assert ordered(["zeta", "bulkhead", "alpha", "fallback"], find) == ["fallback", "bulkhead", "alpha", "zeta"]


def test_a_plugin_may_be_first_or_in_the_middle() -> None:
    find = with_plugins(first={"before": ("fallback",)}, middle={"before": ("limiter",)}, last={})
    *before, limiter = BUILT_IN[:5]
    expected = ["first", *before, "middle", limiter, *BUILT_IN[5:], "last"]
    assert ordered([*BUILT_IN, "last", "middle", "first"], find) == expected
    assert ordered(["bulkhead", "middle", "fallback"], find) == ["fallback", "middle", "bulkhead"], "also without it"


def test_the_first_of_several_names_counts_and_plugins_may_name_each_other() -> None:
    find = with_plugins(
        one={"before": ("bulkhead", "shedder")}, two={"before": ("one",)}, behind={"after": ["zeta"]}, zeta={}
    )
    expected = ["deadline", "two", "one", "shedder", "bulkhead", "zeta", "behind"]
    assert ordered(["deadline", "shedder", "bulkhead", "one", "two", "behind", "zeta"], find) == expected


def test_after_orders_guards_before_the_same_guard() -> None:
    find = with_plugins(alpha={"before": ["limiter"], "after": ["zeta"]}, zeta={"before": ["limiter"]})
    assert ordered(["admission", "limiter", "alpha", "zeta"], find) == ["admission", "zeta", "alpha", "limiter"]


LIMITR = """
cannot order guards: odd.before: unknown guard 'limitr' (known: admission, breaker, bulkhead,
concurrency, deadline, fallback, limiter, shedder); did you mean 'limiter'?
"""
BEHIND_AND_BEFORE = """
cannot order guards: 'admission' is before 'limiter', which is before 'odd', which is before 'fallback',
which is before 'deadline', which is before 'shedder', which is before 'admission'; change `before` or
`after` of one of their classes
"""
EACH_OTHER = """
cannot order guards: 'odd' is before 'other', which is before 'odd'; change `before` or `after` of one of their
classes
"""
ITSELF = "cannot order guards: 'odd' is before 'odd'; change `before` or `after` of one of their classes"
TEXT = "cannot order guards: odd.before must be a tuple of names of guards, got 'limiter'"


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        ({"odd": {"before": ("limitr",)}}, LIMITR),
        ({"odd": {"before": ("fallback",), "after": ("limiter",)}}, BEHIND_AND_BEFORE),
        ({"odd": {"before": ("other",)}, "other": {"before": ("odd",)}}, EACH_OTHER),
        ({"odd": {"after": ("odd",)}}, ITSELF),
        ({"odd": {"before": "limiter"}}, TEXT),
    ],
)
def test_a_wrong_declaration_is_a_clear_error(declared: dict[str, Any], error: str) -> None:
    find = with_plugins(**declared)
    for check in (lambda: check_place("odd", find), lambda: ordered(["odd", "limiter"], find)):
        with pytest.raises(ConfigurationError) as raised:
            check()
        assert str(raised.value) == " ".join(error.split())
        assert not isinstance(raised.value, UnknownPlugin)


NAMES = ["alpha", "beta", "gamma"]


@given(st.lists(st.sampled_from(BUILT_IN), min_size=3, max_size=3), st.permutations([*BUILT_IN, *NAMES]))
def test_each_order_respects_the_declarations(anchors: list[str], given_order: list[str]) -> None:
    find = with_plugins(**{name: {"before": (anchor,)} for name, anchor in zip(NAMES, anchors, strict=True)})
    found = ordered(given_order, find)
    assert [name for name in found if name in BUILT_IN] == BUILT_IN
    for name, anchor in zip(NAMES, anchors, strict=True):
        between = found[found.index(name) + 1 : found.index(anchor)]
        assert found.index(name) < found.index(anchor)
        assert set(between) <= set(NAMES), "directly before it"


# A third-party package.

PLUGINS = """
import msgspec

class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: int = 1

seen = []

class Base:
    Settings = Settings

    def __init__(self, settings, chance, listener=None):
        pass

    async def __call__(self, call, next):
        seen.append(type(self).__name__)
        return await next(call)

class Silent(Base):
    pass

class First(Base):
    before = ("fallback",)

class Middle(Base):
    before = ("limiter",)

class Odd(Base):
    before = ("limitr",)
"""
ENTRY_POINTS = """
[idlrt.guards]
a_silent = guest:Silent
first = guest:First
middle = guest:Middle
odd = guest:Odd
"""
PROGRAM = """
import json
import guest
from hand_written import Users, UserServiceClient, user_service
from idlrt import Server
from idlrt.config.guards import Guards
from idlrt.config import Layer, effective
from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.guard import GUARDS
from idlrt.guard.base import no_listener

names = ["a_silent", "bulkhead", "limiter", "middle", "first", "fallback", "shedder"]
values = {f"{name}.enabled": True for name in names}
by_class = {GUARDS.get(name): name for name in names}
stand = [by_class[type(each)] for each in Guards(ClockAndRandom(), no_listener).of(effective([Layer("", values)], ""))]
server = Server(user_service(Users()), guards={name: {} for name in ("a_silent", "middle", "limiter", "first")})
server.start()
with UserServiceClient.connect(f"tcp://127.0.0.1:{server.port}", timeout=60) as client:
    client.get(1)
server.stop()
try:
    Server(user_service(Users()), guards={"odd": {}})
except ConfigurationError as error:
    wrong = str(error)
print(json.dumps([stand, guest.seen, wrong]))
"""


@pytest.mark.slow
def test_a_third_party_package_declares_the_order_of_its_guards(tmp_path: Path) -> None:
    (tmp_path / "guest.py").write_text(PLUGINS, encoding="utf-8")
    info = tmp_path / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    harness = Path(__file__).parents[2] / "harness"
    path = os.pathsep.join([str(tmp_path), str(harness), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stand, seen, wrong = json.loads(done.stdout)
    assert stand == ["first", "fallback", "shedder", "middle", "limiter", "bulkhead", "a_silent"]
    assert seen == ["First", "Middle", "Silent"]
    assert "odd.enabled: cannot order guards: odd.before: unknown guard 'limitr'" in wrong
    assert "did you mean 'limiter'?" in wrong
