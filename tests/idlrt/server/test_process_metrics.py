"""The supervisor of several processes adds up what they count, and loses nothing when one is killed."""

from __future__ import annotations

import os
import signal
import threading
import urllib.request
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from hand_written import Users, UserServiceClient, user_service
from metric_counts import call_counts

from idlrt.errors import ConnectFailed, ConnectionLost
from idlrt.observe import Snapshot
from idlrt.observe.catalogue import SERVER_CONNECTIONS, SERVER_PROCESSES, SERVER_RESTARTS
from idlrt.observe.snapshot import decode_snapshot
from idlrt.server import ProcessServer

# Real processes.
pytestmark = pytest.mark.slow

PROCESSES, THREADS = 4, 8
KEY = ("UserService.wait", "ok", "")


class Told(Users):
    """`wait` says which process it is."""

    def wait(self, id: int) -> int:
        return os.getpid()


class Load:
    """Threads that make calls until they are told to stop, and count the answers."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._is_over = threading.Event()
        self.answered = self.lost = 0
        self.pids: set[int] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work) for _ in range(THREADS)]
        for each in self._threads:
            each.start()

    def _work(self) -> None:
        while not self._is_over.is_set():
            # A new client for some calls, so that the kernel distributes connections among all processes.
            with UserServiceClient.connect(self._target, timeout=TIMEOUT) as client:
                for _ in range(20):
                    try:
                        pid = client.wait(1)
                    except (ConnectionLost, ConnectFailed):
                        with self._lock:
                            self.lost += 1
                        break
                    with self._lock:
                        self.answered += 1
                        self.pids.add(pid)

    def stop(self) -> None:
        self._is_over.set()
        for each in self._threads:
            each.join()


def test_the_count_is_exact_with_four_processes_one_of_which_is_killed() -> None:
    server = ProcessServer(user_service(Told()), processes=PROCESSES, admin=0, drain_s=0.01, grace_s=1)
    with server.start():
        load = Load(server.address)
        try:
            eventually(lambda: len(load.pids) == PROCESSES, "all processes answer")
            victim = server.pids[0]
            eventually(lambda: load.answered > 1000)
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: len(load.pids) > PROCESSES, "the process that replaces it answers")
        finally:
            load.stop()
        counted = call_counts(server.metrics())[KEY]
        # Of calls whose connection was lost, the killed process may have counted those that it was answering.
        assert load.answered <= counted <= load.answered + load.lost
        assert counted - load.answered <= THREADS
        # Without a kill in between it is the same number exactly.
        again = Load(server.address)
        eventually(lambda: again.answered > 1000)
        again.stop()
        assert again.lost == 0
        assert call_counts(server.metrics())[KEY] == counted + again.answered
        eventually(lambda: server.metrics().values(SERVER_RESTARTS) == {(): 1})


def values(snapshot: Snapshot, name: Any) -> float:
    found = snapshot.values(name).values()
    return sum(each for each in found if isinstance(each, int | float))


def test_gauges_and_pages_are_those_of_all_processes() -> None:
    server = ProcessServer(user_service(Told()), processes=2, admin=0, drain_s=0.01, grace_s=1)
    with server.start(), UserServiceClient.connect(server.address, timeout=TIMEOUT) as client:
        for _ in range(5):
            client.wait(1)

        def cells() -> Snapshot:
            with urllib.request.urlopen(f"{server.admin_address}/cells", timeout=TIMEOUT) as response:
                return decode_snapshot(response.read())

        eventually(lambda: values(cells(), SERVER_CONNECTIONS) == 1)
        assert call_counts(cells())[KEY] == 5
        eventually(lambda: cells().values(SERVER_PROCESSES)[("serving",)] == 2)
        with urllib.request.urlopen(f"{server.admin_address}/metrics", timeout=TIMEOUT) as response:
            text = response.read().decode()
        assert (
            'rpc_server_calls_total{rpc_method="UserService.wait",rpc_status_code="ok",error_type="",caller=""} 5'
            in text
        )
        assert server.figures(by=("method",)).rows[0].pv == 5
