"""A method got new arguments: callers that leave them out and servers that do not find them, ours and the peers'."""

from __future__ import annotations

from typing import Any

import pytest
from peer_clients import OURS, make_client, serving
from peer_dialects import SPOKEN, Spoken

pytestmark = pytest.mark.slow

PAIRS = [
    pytest.param(caller, server, spoken, id=f"{caller} to {server} {spoken}")
    for spoken in SPOKEN
    for caller, server in ((spoken.peer, "ours"), *((ours, spoken.peer) for ours in OURS))
]


@pytest.mark.parametrize(("caller", "server", "spoken"), PAIRS)
def test_arguments_that_are_left_out(caller: str, server: str, spoken: Spoken, stubs: Any, handler: Any) -> None:
    with serving(server, spoken, stubs, handler) as port:
        client = make_client(caller, spoken, stubs, port)
        try:
            absent = client.call("page", "x", None, None, None, None)
            between = client.call("page", "x", 1, None, ["a", "b"], None)
            given = client.call("page", "x", 1, 2, [], stubs.Color.GREEN)
        finally:
            client.close()
    green = int(stubs.Color.GREEN)
    assert given == repr(("x", 1, 2, [], green))
    if server == "ours":
        assert absent == "('x', 20, 10, ['id'], None)"
        assert between == "('x', 1, 10, ['a', 'b'], None)"
    elif server.startswith("thriftpy2"):
        assert absent == "('x', None, 10, ['id'], None)"
        assert between == "('x', 1, 10, ['a', 'b'], None)"
    else:  # the tables of this peer have no defaults
        assert absent == "('x', None, None, None, None)"
        assert between == "('x', 1, None, ['a', 'b'], None)"


def test_a_handler_without_a_default_refuses(stubs: Any, handler: Any) -> None:
    spoken = next(each for each in SPOKEN if each.peer == "apache" and each.framing == "framed")
    with serving("ours", spoken, stubs, handler) as port:
        client = make_client(spoken.peer, spoken, stubs, port)
        try:
            with pytest.raises(Exception, match=r"cannot call Peer\.greet: missing argument 'name'"):
                client.call("greet", None)
            assert client.call("greet", "you") == "hello you"
        finally:
            client.close()
