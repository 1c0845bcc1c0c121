"""Responses to requests whose body is not read arrive, although the client is still sending."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hand_written import Users, user_service
from http_by_hand import request
from http_sockets import HttpSocket, open_socket, serving_shop
from kinds import Kind, serving

from idlrt.serialization import Limits

pytestmark = pytest.mark.slow

SIZE = 64 << 20
KINDS = [
    Kind(engine, place)
    for engine in ("selector", "asyncio", "uvloop", "processes")
    for place in ("tcp", "tls", "unix")
    if engine != "processes" or place == "tcp"
]
HEAD = request("POST /articles/1:buy", f"Content-Length: {SIZE}", "Content-Type: application/json", host="localhost")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_client_sends_everything_and_then_reads(kind: Kind, tmp_path: Path) -> None:
    with serving_shop(kind, tmp_path) as (running, handler), HttpSocket(running) as client:
        client.send(HEAD)
        for _ in range(SIZE >> 20):
            client.send(bytes(1 << 20))
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        client.socket.close()
    assert handler.calls == []


@pytest.mark.parametrize("kind", KINDS[:2], ids=str)
def test_a_client_that_reads_at_once_sees_the_end(kind: Kind, tmp_path: Path) -> None:
    with serving_shop(kind, tmp_path) as (running, _), HttpSocket(running) as client:
        client.send(HEAD)
        [answer] = client.to_end()
        assert answer.status == 413


@pytest.mark.parametrize("place", ["tcp", "unix"])
def test_other_protocols(place: str, tmp_path: Path) -> None:
    # A line of JSON-RPC that is too long; its answer says so.
    line = b'{"jsonrpc":"2.0","method":"get","params":["' + bytes(1 << 20)
    with (
        serving(Kind("selector", place), user_service(Users()), tmp_path, limits=Limits(max_message=1000)) as running,
        open_socket(running) as client,
    ):
        for _ in range(32):
            client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        assert b"max_message" in client.recv(65536)
