"""Load for a long time, with everything that goes wrong in a long time.

    python tests/faults/soak.py [SECONDS]

A server process with a thousand busy callers, clients of both kinds, framed and in THeader; connections that are cut
at random, delayed and slowed down; readers that do not read, half messages, garbage; and servers that are replaced
while calls go on. Each call has a unique number, and each server records the numbers it has executed. At the
end every call must have been answered right and been executed once, or have failed with an error that says the
truth: `NotSent` never executed, `Unknown` at most once. Memory and descriptors of a server must not have grown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).resolve().parent
HARNESS = str(HERE.parent / "harness")
sys.path.insert(0, HARNESS)

from eventually import TIMEOUT  # noqa: E402
from fault_proxy import FaultProxy, proxied  # noqa: E402
from hand_written import GET, AsyncUserServiceClient, UserServiceClient, requests  # noqa: E402

from idlrt.errors import NotSent, RpcError, Unknown  # noqa: E402

__all__ = ["Report", "soak"]

_SAMPLE = 0.5


class Report(msgspec.Struct, kw_only=True):
    """Result of a soak run.

    Attributes:
        outcomes: number of calls by outcome.
        wrong: violations, as text; empty if the run passed.
        memory: memory of the server that ran to the end, in kilobytes, over time.
        descriptors: its open file descriptors, over time.
        servers: number of servers that ran.
    """

    outcomes: Counter[str] = msgspec.field(default_factory=lambda: Counter[str]())
    wrong: list[str] = []
    memory: list[int] = []
    descriptors: list[int] = []
    servers: int = 0


SERVER = """
import os, signal, sys, threading
sys.path.insert(0, sys.argv[1])
from hand_written import Users, user_service
from idlrt import Server

out = open(sys.argv[3], "a", buffering=1 << 16)

class Noting(Users):
    def get(self, id):
        out.write(f"{id}\\n")
        return super().get(id)

server = Server(
    user_service(Noting()), sys.argv[2], reuse_port=True, message_timeout=2, write_timeout=2, idle_timeout=20,
    drain_s=0.3, grace_s=3, max_connections=30000,
)
with server:
    print(server.port, flush=True)
    server.serve()
out.close()
"""


class _Server:
    """A server process."""

    def __init__(self, folder: Path, number: int, port: int) -> None:
        self.notes = folder / f"{number}.txt"
        command = [sys.executable, "-c", SERVER, HARNESS, f"127.0.0.1:{port}", str(self.notes)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        """Stop it, as a deployment does."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(TIMEOUT) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()

    def sample(self) -> tuple[int, int]:
        """Kilobytes in use, and descriptors."""
        folder = Path(f"/proc/{self.process.pid}")
        kilobytes = int((folder / "statm").read_text().split()[1]) * resource.getpagesize() // 1024
        return kilobytes, len(os.listdir(folder / "fd"))


class _Soak:
    def __init__(self, seconds: float, callers: int, seed: int, answers: int) -> None:
        self.report = Report()
        self.restarts_left = 0
        self._end = time.monotonic() + seconds
        self._answers = answers
        self._callers = callers
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._number = 0
        self._ended: dict[str, list[int]] = {"answered": [], "not sent": [], "unknown": []}

    def is_over(self) -> bool:
        is_enough = not self.restarts_left and self.report.outcomes["answered"] >= self._answers
        return is_enough and time.monotonic() >= self._end

    def take(self) -> int:
        """Return a unique call number."""
        with self._lock:
            self._number += 1
            return self._number if self._number != 404 else self._number + 1_000_000_000

    def note(self, number: int, outcome: str, error: BaseException | None = None) -> None:
        with self._lock:
            self._ended[outcome].append(number)
            self.report.outcomes[type(error).__name__ if error is not None else outcome] += 1

    def wrong(self, what: str) -> None:
        with self._lock:
            if len(self.report.wrong) < 20:
                self.report.wrong.append(what)

    def settle(self, number: int, user: Any, error: BaseException | None) -> None:
        """A call has ended."""
        if isinstance(error, NotSent):
            self.note(number, "not sent", error)
        elif isinstance(error, Unknown):
            self.note(number, "unknown", error)
        elif error is not None:
            self.wrong(f"call {number} ended with {error!r}")
        elif user.id != number or user.name != f"user {number}":
            self.wrong(f"call {number} was answered with {user!r}")
        else:
            self.note(number, "answered")

    # Callers.

    def call_blocking(self, address: str, framing: str) -> None:
        rng = random.Random(self.take())
        with UserServiceClient.connect(address, framing=framing, timeout=3, max_connections=4) as client:
            while not self.is_over():
                number = self.take()
                try:
                    self.settle(number, client.get(number), None)
                except RpcError as error:
                    self.settle(number, None, error)
                time.sleep(rng.random() * 0.002)

    async def call_asyncio(self, address: str, framing: str, tasks: int) -> None:
        async with AsyncUserServiceClient.connect(address, framing=framing, timeout=3) as client:

            async def one() -> None:
                while not self.is_over():
                    number = self.take()
                    try:
                        self.settle(number, await client.get(number), None)
                    except RpcError as error:
                        self.settle(number, None, error)
                        await asyncio.sleep(0.01)
                    await asyncio.sleep(0.001)

            await asyncio.gather(*(one() for _ in range(tasks)))

    # Trouble.

    def annoy(self, port: int) -> None:
        """Clients that do not mean well."""
        rng = random.Random(self.take())
        call = requests((GET, (1,)))
        while not self.is_over():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as raw:
                raw.settimeout(0.5)
                kind = rng.randrange(4)
                if kind == 0:
                    raw.sendall(rng.randbytes(rng.randrange(1, 200)))
                elif kind == 1:
                    raw.sendall(call[: rng.randrange(1, len(call))])
                elif kind == 2:
                    # Asks for much and reads nothing.
                    with contextlib.suppress(TimeoutError):
                        for _ in range(50):
                            raw.sendall(call * 200)
                    time.sleep(0.1)
                else:
                    raw.sendall(call)
                with contextlib.suppress(OSError):
                    raw.recv(1000)
            time.sleep(0.02)

    def disturb(self, proxy: FaultProxy) -> None:
        """The network."""
        while not self.is_over():
            kind = self._rng.randrange(5)
            if kind == 0:
                proxy.cut()
            elif kind == 1:
                proxy.latency = 0.02
            elif kind == 2:
                proxy.chunk = 7
            elif kind == 3:
                proxy.cut_after = self._rng.randrange(1, 5000)
            else:
                proxy.is_silent = True
            time.sleep(self._rng.random() * 0.3)
            proxy.latency, proxy.chunk, proxy.cut_after, proxy.is_silent = 0.0, 65536, None, False
            time.sleep(self._rng.random() * 0.3)

    # The whole.

    def check(self, folder: Path) -> None:
        """Compare what clients know with what servers did."""
        worked: Counter[int] = Counter()
        for notes in folder.glob("*.txt"):
            worked.update(int(line) for line in notes.read_text().split())
        for number in self._ended["answered"]:
            if worked[number] != 1:
                self.wrong(f"call {number} was answered, and worked on {worked[number]} times")
        for number in self._ended["not sent"]:
            if worked[number]:
                self.wrong(f"call {number} was not sent, and worked on {worked[number]} times")
        for number in self._ended["unknown"]:
            if worked[number] > 1:
                self.wrong(f"call {number} may have been worked on, and was {worked[number]} times")


@contextlib.contextmanager
def _idle(port: int, count: int) -> Iterator[None]:
    """Connections that have said something once and nothing since."""
    with contextlib.ExitStack() as stack:
        call = requests((GET, (0x7FFFFFFF,)))
        for _ in range(count):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT))
            raw.sendall(call)
        yield


def soak(
    seconds: float,
    *,
    callers: int = 200,
    idle: int = 0,
    restart_every: float = 5.0,
    seed: int = 0,
    restarts: int = 0,
    answers: int = 0,
) -> Report:
    """Do all of it.

    Args:
        seconds: that it takes, longer where there were fewer restarts or answers by then.
        restarts: of a server that there have to be.
        answers: that callers have to get.
        callers: that call at the same time, in threads and tasks.
        idle: connections that are open beside them.
        restart_every: seconds between two servers.
        seed: of the dice.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        first = _Server(folder, 0, 0)
        servers = [first, _Server(folder, 1, first.port)]
        made = 2
        run = _Soak(seconds, callers, seed, answers)
        run.restarts_left = restarts
        proxy = stack.enter_context(proxied(first.port))
        direct = f"tcp://127.0.0.1:{first.port}"
        places = [(address, framing) for address in (direct, proxy.address) for framing in ("framed", "header")]
        threads = [threading.Thread(target=run.call_blocking, args=places[index % 4]) for index in range(16)]
        tasks = max((callers - len(threads)) // 4, 1)

        async def all_asyncio() -> None:
            await asyncio.gather(*(run.call_asyncio(*place, tasks) for place in places))

        threads.append(threading.Thread(target=lambda: asyncio.run(all_asyncio())))
        threads.append(threading.Thread(target=run.disturb, args=(proxy,)))
        threads += [threading.Thread(target=run.annoy, args=(first.port,)) for _ in range(3)]
        stack.enter_context(_idle(first.port, idle))
        for thread in threads:
            thread.start()
        restart_at = time.monotonic() + restart_every
        while not run.is_over():
            time.sleep(_SAMPLE)
            kilobytes, descriptors = servers[0].sample()
            run.report.memory.append(kilobytes)
            run.report.descriptors.append(descriptors)
            if time.monotonic() >= restart_at and not run.is_over():
                # The first one stays, to be looked at; another takes the other's place before that one goes.
                servers.append(_Server(folder, made, first.port))
                made += 1
                servers.pop(1).stop()
                run.restarts_left = max(run.restarts_left - 1, 0)
                restart_at = time.monotonic() + restart_every
        for thread in threads:
            thread.join(TIMEOUT)
            if thread.is_alive():
                run.wrong(f"{thread.name} does not end")
        for server in servers:
            server.stop()
        run.report.servers = made
        run.check(folder)
        return run.report


def _main() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = soak(float(sys.argv[1]) if len(sys.argv) > 1 else 600.0, callers=1000, idle=10_000)
    third = max(len(found.memory) // 3, 1)
    lines = [f"{found.servers} servers; {sum(found.outcomes.values())} calls: {dict(found.outcomes)}"]
    for what, samples in (("kilobytes", found.memory), ("descriptors", found.descriptors)):
        parts = (samples[:third], samples[third : 2 * third], samples[2 * third :])
        means = [sum(part) // max(len(part), 1) for part in parts]
        lines.append(f"{what} of the server that lived: mean of each third {means}, most {max(samples)}")
    lines += ["wrong:", *(f"  {what}" for what in found.wrong or ["nothing"])]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(bool(found.wrong))


if __name__ == "__main__":
    sys.exit(_main())
