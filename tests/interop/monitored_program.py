"""A program with all that is measured: what dashboards show is looked for in its metrics.

It has servers, one with workers, one with processes, and clients that call them through a registry, which also lists an
address where no server listens. Calls succeed, fail, are rejected, retried, hedged and deferred, in rounds that follow
each other. It prints the addresses of its admin ports as a line each, and ends when its input does.

It runs alone, so that nothing but this program has filled its metrics.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "harness"))

from free_ports import free_port
from hand_written import Users, UserServiceClient, user_service

from idlrt import ProcessServer, Server, observe
from idlrt.core import Instance
from idlrt.errors import RpcError
from idlrt.registry import Registry

REGISTRY = "memory://monitored"
SERVICE = "UserService"
HEDGED = {"fault": "hedge", "idempotent": True, "hedge.delay": 0.005, "hedge.max_extra_load": 1}


class Handler(Users):
    """`get` of 13 and `join` of nothing fail, `get` of 7 takes a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.never = threading.Event()

    def get(self, id: int) -> Any:
        if id == 7:
            self.never.wait(0.05)
        if id == 13:
            raise ValueError("unlucky")
        return super().get(id)

    def join(self, words: list[str], by: str) -> Any:
        if not words:
            raise ValueError("no words")
        return super().join(words, by)


def expect(call: Any, *arguments: Any) -> None:
    """Make a call, which may fail."""
    with contextlib.suppress(RpcError):
        call(*arguments)


class Load:
    """Calls of all kinds."""

    def __init__(self, processes: str, workers: str) -> None:
        everything: dict[str, Any] = {"config": {"caller": {"app": "load", "zone": "eu-1"}}, "heartbeat": 0.2}
        self.opened = contextlib.ExitStack()
        self.client = self.connect(REGISTRY + f"/{SERVICE}", **everything)
        self.breaking = self.connect(
            REGISTRY + f"/{SERVICE}",
            policy={"breaker": {"consecutive_failures": 3, "break_duration": 0.2, "count_internal": True}},
            **everything,
        )
        self.limited = self.connect(REGISTRY + f"/{SERVICE}", policy={"limiter": {"rate": 1, "burst": 1}}, **everything)
        self.plain = self.connect(processes, framing="framed", config={"caller": {"app": "plain"}})
        self.port = int(workers.rpartition(":")[2])
        self.dead = free_port()
        self.database = observe.instrument(sqlite3.connect(":memory:", check_same_thread=False))

    def connect(self, target: str, **options: Any) -> UserServiceClient:
        return self.opened.enter_context(UserServiceClient.connect(target, **options))

    def round(self) -> None:
        """One round of everything."""
        with observe.feature("checkout", expected=KeyError) as feature:
            with feature.step("order"):
                self.database.execute("select 1")
            with feature.step("pay"):
                self.client.get(1)
        with contextlib.suppress(ValueError), observe.feature("checkout"):
            raise ValueError("declined")
        with contextlib.suppress(OSError), observe.resource("bank", "charge"):
            raise ConnectionError("no bank")
        for each in range(5):
            self.client.get(each + 1)
        for _ in range(3):
            self.plain.get(1)
        self.client.join(["a", "b"])
        expect(self.client.get, 13)
        expect(self.client.get, -1)
        expect(self.client.using(retries=0).blob, 1)
        self.client.using(policy=HEDGED).get(7)
        self.client.using(policy={"fallback.value": "none", "fallback.on": ["Exception"]}).join([])
        expect(self.limited.ping)
        expect(self.limited.ping)
        for _ in range(4):
            expect(self.breaking.get, 13)
        # New clients know nothing of the dead address, so they retry.
        with UserServiceClient.connect(f"127.0.0.1:{self.port},127.0.0.1:{self.dead}", heartbeat=None) as fresh:
            for _ in range(4):
                fresh.get(1)
        with UserServiceClient.connect(f"127.0.0.1:{self.dead}") as lost:
            expect(lost.using(fault="failcache").ping)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as raw:
            raw.sendall(b"GARBAGE" * 10)
            raw.recv(100)
        gc.collect()


@contextlib.contextmanager
def servers() -> Iterator[tuple[ProcessServer, Server]]:
    # Processes are forked before there are threads.
    with ProcessServer(user_service(Handler()), processes=2, admin=0, grace_s=0.1) as processes:
        processes.start()
        with (
            Server(
                user_service(Handler()),
                admin=0,
                workers=2,
                registry=REGISTRY,
                instance={"zone": "eu-1", "version": "1.2"},
                guards={"methods": {"blob": {"limiter": {"rate": 1, "burst": 1}}}},
            ).start() as first,
            Server(user_service(Handler()), registry=REGISTRY, instance={"zone": "eu-2"}).start(),
            Registry.connect(REGISTRY) as registry,
        ):
            registry.register(Instance(service=SERVICE, host="127.0.0.1", port=free_port(), zone="eu-2")).wait()
            yield processes, first


def main() -> None:
    """Run until the input ends."""
    ended = threading.Event()
    # Failures are the purpose.
    logging.disable(logging.CRITICAL)
    with servers() as (processes, workers):
        load = Load(processes.address.removeprefix("tcp://"), workers.address)

        def run() -> None:
            with load.opened:
                while not ended.is_set():
                    load.round()
                    ended.wait(0.02)

        thread = threading.Thread(target=run)
        thread.start()
        print(workers.admin_address.removeprefix("http://"), flush=True)
        print(processes.admin_address.removeprefix("http://"), flush=True)
        sys.stdin.read()
        ended.set()
        thread.join()


if __name__ == "__main__":
    # The environment of tests says nothing about metrics.
    os.environ.pop("IDLRT_METRICS", None)
    main()
