"""Blocking clients in a process that forks while its threads use them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest
from hand_written import Users, UserServiceClient, user_service

from idlrt.server import Server


def forked(work: Callable[[], object]) -> int:
    """Do something in a child; its exit status, or the signal that ended it when it took too long."""
    pid = os.fork()
    if not pid:
        signal.alarm(10)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("calls", [1, 8])
def test_a_lock_that_a_thread_of_the_parent_holds(calls: int) -> None:
    with (
        Server(user_service(Users())) as server,
        UserServiceClient.connect(server.address, framing="header", calls_per_connection=calls) as client,
    ):
        server.start()
        client.get(1)
        lock = client._sender._changed if calls > 1 else client._sender._lock  # type: ignore[attr-defined]
        is_held, may_go = threading.Event(), threading.Event()

        def hold() -> None:
            with lock:
                is_held.set()
                may_go.wait(20)

        thread = threading.Thread(target=hold)
        thread.start()
        assert is_held.wait(20)
        # With and without a call of its own.
        assert forked(client.close) == 0
        assert forked(lambda: (client.get(2), client.close())) == 0
        may_go.set()
        thread.join(20)
        assert client.get(3).id == 3
