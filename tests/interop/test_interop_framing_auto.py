"""`framing="auto"` finds out what real servers read: Apache's and thriftpy2's, buffered, framed and with headers."""

from __future__ import annotations

from typing import Any

import pytest
from peer_clients import OURS, make_client, serving
from peer_dialects import SPOKEN

from idlrt.errors import ConfigurationError, ConnectionLost, DeadlineExceeded

pytestmark = pytest.mark.slow

PEERS = [each for each in SPOKEN if each.head == "strict" and each.framing != "header_zlib"]
BUFFERED = [each for each in PEERS if each.framing == "unframed" and each.protocol == "binary"]


class Counting:
    """Stands before a handler, and notes the names of the methods that are called."""

    def __init__(self, handler):
        self._handler = handler
        self.called = []

    def __getattr__(self, name):
        method = getattr(self._handler, name)

        def call(*values):
            self.called.append(name)
            return method(*values)

        return call


def connect(caller: str, stubs: Any, port: int, **options: Any) -> Any:
    """A client of ours."""
    make: Any = OURS[caller]
    return make(stubs, port, **options)


@pytest.mark.parametrize("caller", OURS)
@pytest.mark.parametrize("spoken", PEERS, ids=str)
def test_it_is_found_and_the_first_call_is_made_once(caller, spoken, stubs, handler):
    counting = Counting(handler)
    with serving(spoken.peer, spoken, stubs, counting) as port:
        client = connect(caller, stubs, port, framing="auto", protocol=spoken.protocol, ping_timeout=2)
        try:
            assert client.call("add", 40, 2) == 42
            assert client.pipeline("add", [(number, 1) for number in range(5)]) == [1, 2, 3, 4, 5]
        finally:
            client.close()
    assert counting.called == ["add"] * 6


@pytest.mark.parametrize("caller", OURS)
def test_our_own_server_is_found_too(caller, stubs, handler):
    with serving("ours", PEERS[0], stubs, handler) as port:
        client = connect(caller, stubs, port, framing="auto")
        try:
            assert client.call("add", 1, 2) == 3
            with pytest.raises(
                ConfigurationError,
                match="the detected protocol is framed binary: framing 'framed' carries no metadata",
            ):
                client.call("add", 1, 2, metadata={"authorization": "secret"})
            assert client.call("add", 1, 2) == 3
        finally:
            client.close()


@pytest.mark.parametrize("caller", OURS)
def test_what_reads_headers_only_gets_metadata(caller, stubs, handler):
    spoken = next(each for each in SPOKEN if str(each) == "apache accelerated header binary")
    with serving(spoken.peer, spoken, stubs, handler) as port:
        client = connect(caller, stubs, port, framing="auto")
        try:
            assert client.call("metadata", metadata={"tenant": "7"}) == {"tenant": "7"}
        finally:
            client.close()


@pytest.mark.parametrize("caller", OURS)
@pytest.mark.parametrize("spoken", BUFFERED, ids=str)
def test_without_it_the_error_says_what_to_do(caller, spoken, stubs, handler):
    """Most buffered servers close on a frame. thriftpy2's reader in C waits for more instead."""
    is_silent = spoken.peer == "thriftpy2 accelerated"
    options = {"timeout": 1.0} if is_silent else {}
    with serving(spoken.peer, spoken, stubs, handler) as port:
        client = connect(caller, stubs, port)
        try:
            kind = DeadlineExceeded if is_silent else ConnectionLost
            with pytest.raises(kind, match=r'framing="unframed" \(or "auto"\)'):
                client.call("ping", **options)
        finally:
            client.close()
        other = make_client(caller, spoken, stubs, port)
        assert other.call("add", 1, 2) == 3
        other.close()
