"""Exceptions that a signal handler raises between any two byte codes: clients lose no place to them.

A place for a connection, or for a call on a shared one, was taken and given back by counting, so each interruption
between two statements could cost one for ever: a pool of 16 was dead after some 850 interruptions. The environment
variable `INTERRUPTS` sets their number.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eventually import TIMEOUT
from hand_written import AsyncUsers, user_service

from idlrt.server import Server

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "harness" / "interrupted_calls.py"
INTERRUPTS = int(os.environ.get("INTERRUPTS", "2000"))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers of signals")
@pytest.mark.timeout(300 + INTERRUPTS // 10)
@pytest.mark.parametrize("competing", [0, 8], ids=["alone", "eight threads"])
@pytest.mark.parametrize(
    ("options", "instances"),
    [
        ({"max_connections": 4}, 1),
        ({"max_connections": 2, "calls_per_connection": 4, "framing": "header"}, 1),
        ({"max_connections": 4}, 2),
    ],
    ids=["pooled", "shared", "cluster"],
)
def test_interrupted_clients_serve_at_full_capacity(options: dict[str, Any], instances: int, competing: int) -> None:
    users = AsyncUsers()
    room = options["max_connections"] * options.get("calls_per_connection", 1) * instances
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(user_service(users), drain_s=0, grace_s=0.1)) for _ in range(instances)]
        for server in servers:
            server.start()
        # In turn: every instance has to serve as many calls as it has room for.
        target = f"tcp://{','.join(f'127.0.0.1:{server.port}' for server in servers)}"
        if instances > 1:
            target += "?balancer=round_robin"
        arguments = [target, str(INTERRUPTS), str(competing), json.dumps(options), str(room)]
        with subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                figures = json.loads(process.stdout.readline())
                print(figures)
                # Lost calls shared their connection with one that was interrupted while it handled bytes.
                assert figures.keys() <= {"connections", "in_flight", "waiting", "lost"}
                assert figures["connections"] <= options["max_connections"] * instances
                assert (figures["in_flight"], figures["waiting"]) == (0, 0)
                for _ in range(room):
                    assert users.all_entered.acquire(timeout=TIMEOUT)
                for id in range(room):
                    users.release(id)
                assert json.loads(process.stdout.readline()) == {"results": list(range(room)), "connections": 0}
                assert process.wait(TIMEOUT) == 0
            finally:
                process.kill()
