"""Process servers: exited processes are replaced, signals reach all, and none outlives the supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from hand_written import Users, UserServiceClient, user_service

from idlrt.errors import ConfigurationError, ConnectFailed, ConnectionLost
from idlrt.server import ProcessServer
from idlrt.server.restarts import RestartDelay

# Real processes.
pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[2] / "harness"


class Told(Users):
    """`wait` says which process it is, and 0 ends it."""

    def wait(self, id: int) -> int:
        if id == 0:
            os._exit(3)
        return os.getpid()


@pytest.fixture
def server() -> Iterator[ProcessServer]:
    with ProcessServer(user_service(Told()), processes=2, drain_s=0.01, grace_s=1) as made:
        yield made.start()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        if not Path("/proc").exists():
            return True
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def ask(server: ProcessServer) -> int:
    """The process that answers over a new connection."""
    with UserServiceClient.connect(server.address, timeout=TIMEOUT) as client:
        return client.wait(1)


def ask_until(server: ProcessServer, expected: set[int]) -> set[int]:
    """Ask until each process of `expected` has answered; return those that have."""
    found: set[int] = set()

    def are_found() -> bool:
        found.add(ask(server))
        return expected <= found

    eventually(are_found)
    return found


def test_all_of_them_serve(server: ProcessServer) -> None:
    assert len(server.pids) == 2
    assert ask_until(server, set(server.pids)) == set(server.pids)
    assert os.getpid() not in server.pids


def test_an_exited_process_is_replaced(server: ProcessServer, caplog: pytest.LogCaptureFixture) -> None:
    before = set(server.pids)
    with UserServiceClient.connect(server.address, timeout=TIMEOUT) as client:
        victim = client.wait(1)
        with pytest.raises(ConnectionLost):
            client.wait(0)
        eventually(lambda: victim not in server.pids and len(server.pids) == 2)
        [fresh] = set(server.pids) - before
        ask_until(server, {fresh})
    assert f"process {victim} exited with status 3; restarting it" in caplog.text


def test_clients_that_connect_during_a_restart_are_served(server: ProcessServer) -> None:
    for _ in range(3):
        for pid in server.pids:
            os.kill(pid, signal.SIGKILL)
        # No process is running now; a client that connects waits for the next one.
        assert ask(server) > 0


def test_the_delay_of_restarts_doubles_up_to_a_limit_while_processes_die_young() -> None:
    delay = RestartDelay()

    assert [delay.next(lifetime=0.5) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_process_that_has_lived_for_a_while_is_restarted_at_once() -> None:
    delay = RestartDelay()
    for _ in range(3):
        delay.next(lifetime=1.9)

    assert delay.next(lifetime=2.0) == 0.0
    assert delay.next(lifetime=0.0) == 0.1


def test_a_stop_ends_all_of_them(server: ProcessServer) -> None:
    pids = server.pids
    assert ask(server) in pids
    server.stop()
    assert server.pids == []
    assert not any(is_alive(pid) for pid in pids)
    with pytest.raises(ConnectFailed):
        ask(server)
    with pytest.raises(ConfigurationError, match="it has been stopped"):
        server.start()


class Deaf(Users):
    """`get` never ends. It writes a byte when it begins."""

    def __init__(self, entered: int) -> None:
        super().__init__()
        self.begun = entered

    def get(self, id: int) -> Any:
        os.write(self.begun, b"x")
        while True:
            signal.pause()


def test_a_process_that_does_not_stop_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    lost: list[ConnectionLost] = []
    with ProcessServer(user_service(Deaf(writing)), processes=1, drain_s=0.01) as server:
        server.start()
        [pid] = server.pids

        def call() -> None:
            with UserServiceClient.connect(server.address) as client, pytest.raises(ConnectionLost) as caught:
                client.get(1)
            lost.append(caught.value)

        calling = threading.Thread(target=call)
        calling.start()
        assert os.read(reading, 1) == b"x"
        server.stop(grace_s=0.2)
        calling.join(TIMEOUT)
        assert len(lost) == 1
        assert not is_alive(pid)
    for each in (reading, writing):
        os.close(each)
    assert f"killing processes that did not stop in time: {pid}" in caplog.text


PROGRAM = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from eventually import eventually
from hand_written import Users, user_service
from idlrt import ProcessServer

server = ProcessServer(user_service(Users()), processes=2, drain_s=0.01, grace_s=1)
with server:
    def tell():
        eventually(lambda: len(server.pids) == 2)
        print(server.address, *server.pids, flush=True)
    threading.Thread(target=tell, daemon=True).start()
    server.serve()
print("ended", flush=True)
"""


@pytest.fixture
def program() -> Iterator[tuple[subprocess.Popen[str], str, list[int]]]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(HERE)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address, *pids = process.stdout.readline().split()
        yield process, address, [int(pid) for pid in pids]
    finally:
        process.kill()
        process.wait(TIMEOUT)
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_all(program: tuple[subprocess.Popen[str], str, list[int]], number: signal.Signals) -> None:
    process, address, pids = program
    with UserServiceClient.connect(address) as client:
        assert client.get(1).id == 1
    process.send_signal(number)
    output, _ = process.communicate(timeout=TIMEOUT)
    assert output == "ended\n"
    assert process.returncode == 0
    assert not any(is_alive(pid) for pid in pids)


def test_no_process_outlives_the_supervisor(program: tuple[subprocess.Popen[str], str, list[int]]) -> None:
    process, address, pids = program
    with UserServiceClient.connect(address) as client:
        assert client.get(1).id == 1
    process.kill()
    process.wait(TIMEOUT)
    eventually(lambda: not any(is_alive(pid) for pid in pids))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="processes: must be at least 1, got 0"):
        ProcessServer(user_service(Users()), processes=0)
    with ProcessServer(user_service(Users()), processes=1) as server:
        assert server.port > 0
        server.stop()
        with pytest.raises(ConfigurationError, match="it has been stopped"):
            server.serve()


def test_a_process_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fork, left = os.fork, [2]

    def short_of_processes() -> int:
        if left[0]:
            left[0] -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", short_of_processes)
    with ProcessServer(user_service(Told()), processes=2, drain_s=0.01, grace_s=1) as server:
        server.start()
        assert server.pids == []
        eventually(lambda: len(server.pids) == 2)
        assert ask(server) > 0
    assert caplog.text.count("cannot fork a server process: [Errno 11]") == 2
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
