"""The peers' clients against every kind of server that we have."""

from __future__ import annotations

import peer_samples
import pytest
from kinds import KINDS, serving
from peer_clients import make_client
from peer_dialects import SPOKEN

from idlrt.errors import ApplicationError

# The peers' clients of TLS and unix sockets are other classes, which say nothing more about our servers.
OVER_TCP = [kind for kind in KINDS if kind.place == "tcp"]
FAST = [each for each in SPOKEN if each.is_fast]


@pytest.fixture(scope="module", params=OVER_TCP, ids=str)
def running(request, stubs, tmp_path_factory):
    from peer_handler import Handler

    class AsyncHandler(Handler):
        async def add(self, a, b):
            return super().add(a, b)

    handler = (AsyncHandler if request.param.has_coroutines else Handler)(stubs)
    with serving(request.param, stubs.peer(handler), tmp_path_factory.mktemp("unused")) as made:
        yield made


@pytest.mark.parametrize("spoken", FAST, ids=str)
def test_a_peer_calls(running, spoken, stubs):
    port = int(running.address.rpartition(":")[2])
    client = make_client(spoken.peer, spoken, stubs, port)
    try:
        value = peer_samples.everything(stubs)[0]
        assert client.call("echo", value) == value
        assert client.call("add", 40, 2) == 42
        assert client.pipeline("add", [(number, 1) for number in range(5)]) == [1, 2, 3, 4, 5]
        with pytest.raises(stubs.NotFound):
            client.call("find", 0)
        with pytest.raises(ApplicationError):
            client.call("unheard_of", 1, stubs.Everything(scalars=stubs.Scalars()))
        assert client.call("add", 1, 2) == 3
    finally:
        client.close()
