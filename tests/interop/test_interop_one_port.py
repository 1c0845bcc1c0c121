"""All dialects of all peers, and ours, at the same time on one port of one server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import peer_samples
import pytest
import thriftpy2_json
from peer_clients import OURS, make_client
from peer_dialects import HEADERS, PLAIN, SPOKEN, Spoken

from idlrt import Server
from idlrt.errors import ApplicationCode, ApplicationError

pytestmark = pytest.mark.slow

ROUNDS = 5
# Our clients in all their dialects; JSON in THeader has a protocol id, but no other library writes it.
MINE = [
    Spoken(caller, framing, protocol)
    for caller in OURS
    for framing in (*PLAIN, *HEADERS)
    for protocol in ("binary", "compact", "json")
]
CALLERS = [*SPOKEN, *MINE]


def conversation(spoken, number, stubs, port, together):
    """Run the calls of one client, in lockstep with the other clients."""
    client = make_client(spoken.peer, spoken, stubs, port)
    value = thriftpy2_json.sound(peer_samples.everything(stubs)[1], is_streamed=True)
    for turn in range(ROUNDS):
        together.wait(60)
        assert client.call("add", number, turn) == number + turn
        assert client.call("echo", value) == value
        with pytest.raises(stubs.NotFound):
            client.call("find", 0)
        with pytest.raises(ApplicationError) as caught:
            client.call("unheard_of", number, stubs.Everything(scalars=stubs.Scalars()))
        assert caught.value.code == ApplicationCode.UNKNOWN_METHOD
        client.call("note", f"{number} {turn}")
        assert f"{number} {turn}" in client.call("notes")
        if spoken.framing in HEADERS:
            mine = {"caller": f"{number} {turn}"}
            assert client.call("metadata", metadata=mine) == mine
        else:
            assert client.call("metadata") == {}
    client.close()


def test_all_dialects_at_the_same_time(stubs, handler):
    together = threading.Barrier(len(CALLERS))
    with Server(stubs.peer(handler)) as server, ThreadPoolExecutor(len(CALLERS)) as pool:
        port = server.start().port
        running = [
            pool.submit(conversation, spoken, number, stubs, port, together) for number, spoken in enumerate(CALLERS)
        ]
        for spoken, each in zip(CALLERS, running, strict=True):
            error = each.exception(120)
            if error is not None:
                together.abort()
                error.add_note(str(spoken))
                raise error
        assert len(handler.notes()) == len(CALLERS) * ROUNDS
