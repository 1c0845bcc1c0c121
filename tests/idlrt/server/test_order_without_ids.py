"""Clients that tell responses apart by their order get everything in the order of what they sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eventually import TIMEOUT
from hand_written import AsyncUsers, connect_raw, read_to_end, user_service

from idlrt import Server
from idlrt.serialization import Limits


class Kept:
    """A server, with a handler that holds `wait` back."""

    def __init__(self) -> None:
        self.handler = AsyncUsers()
        self.server = Server(user_service(self.handler), "127.0.0.1:0", drain_s=0, limits=Limits(max_message=200))
        self.server.start()

    def answers(self, *lines: bytes) -> bytes:
        """Send lines at once, the first of which waits in its handler: everything that is answered."""
        with connect_raw(self.server.port) as raw:
            raw.settimeout(TIMEOUT)
            raw.sendall(b"".join(lines))
            assert self.handler.entered.wait(TIMEOUT)
            # Answered by the same thread after what came on the other connection.
            with connect_raw(self.server.port) as other:
                other.settimeout(TIMEOUT)
                other.sendall(b"ping\n")
                assert other.recv(100) == b"pong\n"
            self.handler.release(1)
            raw.shutdown(1)
            return read_to_end(raw)


@pytest.fixture
def kept() -> Iterator[Kept]:
    made = Kept()
    yield made
    made.server.stop()


WAIT = b'ask wait {"1":{"i64":1}}\n'
WAITED = b'ok {"0":{"i64":1}}\n'


def test_a_pong_follows_the_responses_before_it(kept: Kept) -> None:
    assert kept.answers(WAIT, b"ping\n", b"ask ping {}\n", b"ping\n") == WAITED + b"pong\nok {}\npong\n"


def test_the_last_words_follow_the_responses_before_them(kept: Kept) -> None:
    answers = kept.answers(WAIT, b"ask ping {}\n", b"x" * 300)
    assert answers == WAITED + b'ok {}\nbye "a line has more than 200 bytes, the limit"\n'


def test_oneway_requests_take_no_place(kept: Kept) -> None:
    poke = b'tell poke {"1":{"i64":5}}\n'
    assert kept.answers(WAIT, poke, b"ask ping {}\n", poke, b"tell nothing {}\n") == WAITED + b"ok {}\n"
    assert kept.handler.poked == [5, 5]


def test_a_line_that_is_no_request_costs_itself(kept: Kept) -> None:
    answers = kept.answers(WAIT, b"what now\n", b"ask ping {}\n")
    first, second, third = answers.splitlines(keepends=True)
    assert (first, third) == (WAITED, b"ok {}\n")
    assert second.startswith(b"no 7 - ")
