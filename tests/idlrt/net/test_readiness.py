"""What the loop waits with: Linux's own, and what every system has, which a server works with as well."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from eventually import TIMEOUT

from idlrt.net import readiness as module
from idlrt.net import selector_loop
from idlrt.net.readiness import READ, WRITE, Readiness, Selectors

KINDS: list[Callable[[], Readiness]] = [module.readiness, Selectors]


@pytest.fixture(params=KINDS)
def readiness(request: pytest.FixtureRequest) -> Iterator[Readiness]:
    made: Readiness = request.param()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    with left, right:
        yield left, right


def ignore(mask: int) -> None:
    raise AssertionError("the loop calls it, not this")


def test_nothing_is_ready_before_its_time(readiness: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    readiness.watch(left, READ, ignore)
    assert list(readiness.wait(0)) == []
    right.send(b"x")
    assert list(readiness.wait(None)) == [(left.fileno(), READ)]
    assert list(readiness.wait(0)) == [(left.fileno(), READ)], "as long as nobody reads"


def test_what_is_wanted_can_change(readiness: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    right.send(b"x")
    readiness.watch(left, WRITE, ignore)
    assert list(readiness.wait(TIMEOUT)) == [(left.fileno(), WRITE)]
    readiness.watch(left, READ | WRITE, ignore)
    assert list(readiness.wait(TIMEOUT)) == [(left.fileno(), READ | WRITE)]
    assert list(readiness.functions) == [left.fileno()]
    readiness.unwatch(left)
    assert list(readiness.wait(0)) == []
    assert not readiness.functions


def test_the_end_is_something_to_read(readiness: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    readiness.watch(left, READ, ignore)
    right.close()
    ((number, mask),) = readiness.wait(TIMEOUT)
    assert number == left.fileno()
    assert mask & READ
    assert left.recv(10) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_works_with_either(
    kind: Callable[[], Readiness], pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selector_loop, "readiness", kind)
    loop = selector_loop.SelectorLoop()
    left, right = pair
    seen: list[bytes] = []

    def ready(mask: int) -> None:
        seen.append(left.recv(10))
        if seen[-1] == b"end":
            loop.readiness.unwatch(left)
            loop.stop()
        else:
            right.send(b"end")

    loop.readiness.watch(left, READ, ready)
    right.send(b"begin")
    loop.run()
    loop.close()
    assert seen == [b"begin", b"end"]
