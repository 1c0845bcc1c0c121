"""A child that a handler forks neither serves nor answers, and holds no socket of the server: its port is free."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from eventually import TIMEOUT, eventually
from hand_written import GET, POKE, User, connect_raw, read_to_end, requests
from odd_server import EXIT, FAIL, KINDS, LIVE_ON, RETURN, Program, program

from idlrt.protocol.events import ResponseReceived
from idlrt.protocol.thrift.connection import ClientConnection
from idlrt.protocol.thrift.dialects import dialect

pytestmark = pytest.mark.slow

HARNESS = Path(__file__).parents[1] / "harness"


def answer(raw: socket.socket, *arguments: int) -> User:
    """Call `get`; its answer, and nothing else."""
    client = ClientConnection(dialect("framed"))
    raw.sendall(client.request(GET, arguments)[1])
    (event,) = client.receive_data(raw.recv(65536))
    assert isinstance(event, ResponseReceived)
    found = event.result()
    assert isinstance(found, User)
    return found


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def stop(server: Program) -> None:
    server.send(signal.SIGTERM)
    assert server.word() == "ended"
    assert server.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("what", "status"), [(RETURN, 0), (FAIL, 1), (EXIT, 7)], ids=["returns", "raises", "exits"])
def test_a_child_that_comes_back_from_the_handler_ends(kind: str, what: int, status: int) -> None:
    with program(kind) as server, connect_raw(server.port) as raw:
        raw.settimeout(TIMEOUT)
        # The parent waits for the child, and answers with its status.
        assert answer(raw, what).id == status
        stop(server)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_waited_behind_the_one_that_forked_is_done_once(kind: str) -> None:
    with program(kind) as server, connect_raw(server.port) as raw:
        raw.settimeout(TIMEOUT)
        raw.sendall(requests((GET, (RETURN,)), (POKE, (1,)), (GET, (RETURN,))))
        assert server.word() == "poked"
        eventually(lambda: raw.recv(65536, socket.MSG_PEEK).count(b"\x80\x01\x00\x02") == 2)
        stop(server)  # "ended" is the next word: the call was not executed again


@pytest.mark.parametrize("kind", KINDS)
def test_while_a_child_lives_on_the_port_becomes_free_and_peers_hear_of_the_end(kind: str) -> None:
    with program(kind) as server, connect_raw(server.port) as raw, connect_raw(server.port) as idle:
        for each in (raw, idle):
            each.settimeout(TIMEOUT)
        pid = answer(raw, LIVE_ON).id
        assert server.word() == str(pid)
        stop(server)

        assert read_to_end(raw) == read_to_end(idle) == b""
        with socket.create_server(("127.0.0.1", server.port)):
            assert is_alive(pid)
        # A signal for the child is not one for the server that it was forked from.
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not is_alive(pid))


PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from eventually import eventually
from hand_written import Users, user_service
from idlrt import ProcessServer

server = ProcessServer(user_service(Users()), processes=2, drain_s=0.01).start()
eventually(lambda: len(server.pids) == 2)
child = os.fork()
if not child:
    server.stop()  # the parent's: nothing happens
    while True:
        signal.pause()
print(server.port, child, *server.pids, flush=True)
sys.stdin.read(1)
server.stop()
print("ended", flush=True)
"""


def test_a_child_of_the_supervisor_holds_neither_its_port_nor_its_processes() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(HARNESS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port, child, *_ = (int(word) for word in process.stdout.readline().split())
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ended\n"
            with socket.create_server(("127.0.0.1", port)):
                assert is_alive(child)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_processes_end_with_their_supervisor_although_it_has_another_child() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(HARNESS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            port, *_ = (int(word) for word in process.stdout.readline().split())
            process.kill()
            process.wait(TIMEOUT)

            def is_free() -> bool:
                with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
                    return True
                return False

            eventually(is_free)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
