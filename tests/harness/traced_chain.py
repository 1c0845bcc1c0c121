"""A chain of traced programs, `web` (this process), `shop` and `users`, whose spans go to a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from eventually import TIMEOUT, eventually
from free_ports import free_port
from hand_written import UserServiceClient

from idlrt import observe
from idlrt.errors import RpcError

__all__ = ["run_chain"]

_INTEROP = Path(__file__).parents[1] / "interop"


@contextmanager
def _program(*arguments: str) -> Iterator[str]:
    """Run a server of the chain; yields its address. All its spans have to be accepted."""
    command = [sys.executable, str(_INTEROP / "traced_program.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            assert process.communicate(timeout=TIMEOUT)[0].strip() == "True"
        finally:
            process.kill()


def run_chain(
    kind: str, url: str, tracing: observe.ActiveTracing, enough: Callable[[], object] = lambda: True
) -> tuple[str, str]:
    """Make a call that succeeds with the second attempt, and one that fails in the last program.

    Args:
        kind: exporter of the programs.
        url: URL of the server.
        tracing: tracing of this process.
        enough: further calls are made until it returns true.

    Returns:
        The ids of the two traces.
    """
    ids: list[str] = []
    with ExitStack() as programs:
        users = programs.enter_context(_program(kind, url, "users"))
        shop = programs.enter_context(_program(kind, url, "shop", users))
        dead = f"127.0.0.1:{free_port()}"
        with UserServiceClient.connect(f"{shop},{dead}", framing="header", heartbeat=None) as client:
            while not any(each.status == "error" for each in tracing.store.recent()):
                with observe.span("buy"):
                    client.get(1)
                    ids.append(observe.trace_id())
        with UserServiceClient.connect(shop, framing="header") as client, observe.span("buy"):
            ids.append(observe.trace_id())
            with suppress(RpcError):
                client.get(0)
        with UserServiceClient.connect(shop, framing="header") as client:
            eventually(lambda: client.get(1) and enough(), "the server knows enough")
    assert tracing.close(30)
    return ids[-2], ids[-1]
