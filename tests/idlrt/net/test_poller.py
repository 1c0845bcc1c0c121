"""Pollers of the event loop: the one of Linux, and the portable one, which also works in a server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from eventually import TIMEOUT

from idlrt.net import poller as module
from idlrt.net import selector_loop
from idlrt.net.poller import READ, WRITE, Poller, SelectorsPoller

KINDS: list[Callable[[], Poller]] = [module.poller, SelectorsPoller]


@pytest.fixture(params=KINDS)
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    made: Poller = request.param()
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


def test_nothing_is_ready_before_its_time(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    poller.watch(left, READ, ignore)
    assert list(poller.wait(0)) == []
    right.send(b"x")
    assert list(poller.wait(None)) == [(left.fileno(), READ)]
    assert list(poller.wait(0)) == [(left.fileno(), READ)], "as long as nobody reads"


def test_what_is_wanted_can_change(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    right.send(b"x")
    poller.watch(left, WRITE, ignore)
    assert list(poller.wait(TIMEOUT)) == [(left.fileno(), WRITE)]
    poller.watch(left, READ | WRITE, ignore)
    assert list(poller.wait(TIMEOUT)) == [(left.fileno(), READ | WRITE)]
    assert list(poller.functions) == [left.fileno()]
    poller.unwatch(left)
    assert list(poller.wait(0)) == []
    assert not poller.functions


def test_the_end_is_something_to_read(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    poller.watch(left, READ, ignore)
    right.close()
    ((number, mask),) = poller.wait(TIMEOUT)
    assert number == left.fileno()
    assert mask & READ
    assert left.recv(10) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_works_with_either(
    kind: Callable[[], Poller], pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selector_loop, "poller", kind)
    loop = selector_loop.SelectorLoop()
    left, right = pair
    seen: list[bytes] = []

    def ready(mask: int) -> None:
        seen.append(left.recv(10))
        if seen[-1] == b"end":
            loop.poller.unwatch(left)
            loop.stop()
        else:
            right.send(b"end")

    loop.poller.watch(left, READ, ready)
    right.send(b"begin")
    loop.run()
    loop.close()
    assert seen == [b"begin", b"end"]
