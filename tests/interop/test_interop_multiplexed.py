"""Several services behind one port, called by `Service:method`, between us and the peers."""

from __future__ import annotations

import pytest
from peer_clients import OURS, make_client, make_peer
from peer_dialects import SPOKEN
from peer_handler import Handler

from idlrt import Server
from idlrt.errors import ApplicationCode, ApplicationError

pytestmark = pytest.mark.slow

ALL = [each for each in SPOKEN if each.head == "strict" and (each.is_fast or each.framing == "header_zlib")]


@pytest.mark.parametrize("spoken", ALL, ids=str)
def test_a_peers_client_calls_each_of_our_services(spoken, stubs, handler):
    # `Base` is a separate service here: `version` shows which one answered.
    with Server([stubs.peer(handler), stubs.base(Handler(stubs, "2.0"))]) as server:
        port = server.start().port
        peer, base, nobody, plain = (
            make_client(spoken.peer, spoken, stubs, port, service) for service in ("Peer", "Base", "Nobody", "")
        )
        for _ in range(2):
            assert peer.call("version") == "1.0"
            assert base.call("version") == "2.0"
            assert plain.call("version") == "1.0"
            assert peer.call("add", 1, 2) == 3
        with pytest.raises(stubs.NotFound):
            peer.call("find", 0)
        peer.call("note", "hey")
        assert peer.call("notes") == ["hey"]
        for client, method in ((nobody, "ping"), (base, "notes"), (peer, "unheard_of")):
            with pytest.raises(ApplicationError) as caught:
                client.call(method, *((1, stubs.Everything(scalars=stubs.Scalars())) if client is peer else ()))
            assert caught.value.code == ApplicationCode.UNKNOWN_METHOD
        for client in (peer, base, nobody, plain):
            client.close()


@pytest.mark.parametrize("caller", OURS)
@pytest.mark.parametrize("spoken", ALL, ids=str)
def test_our_clients_call_each_service_of_a_peer(spoken, caller, stubs, handler):
    services = {"Peer": handler, "Base": Handler(stubs, "2.0")}
    with make_peer(spoken, stubs).serve(spoken.framing, Handler(stubs, "3.0"), services) as port:
        # thriftpy2 has no service for calls without a name.
        expected = {"Peer": "1.0", "Base": "2.0"} | ({"": "3.0"} if spoken.peer.startswith("apache") else {})
        clients = {service: make_client(caller, spoken, stubs, port, service) for service in expected}
        for _ in range(2):
            assert {service: client.call("version") for service, client in clients.items()} == expected
        assert clients["Peer"].call("add", 1, 2) == 3
        with pytest.raises(stubs.NotFound):
            clients["Peer"].call("find", 0)
        clients["Peer"].call("note", "hey")
        assert clients["Peer"].call("notes") == ["hey"]
        for client in clients.values():
            client.close()
