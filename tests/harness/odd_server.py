"""A program that serves handlers which hang and fork: `python odd_server.py KIND`, with KIND one of `KINDS`.

It prints its port, then a word for each thing that happens, then `ended` when the server has stopped.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from eventually import TIMEOUT
from hand_written import User, Users, user_service

from idlrt import AsyncServer, ProcessServer, Server

__all__ = ["DEAF", "EXIT", "FAIL", "HANG", "IN_C", "KINDS", "LIVE_ON", "RETURN", "Program", "program"]

KINDS: Final = ("inline", "filter", "workers", "async", "asyncio", "asyncio plain", "processes")
"""`asyncio` blocks the event loop from a coroutine."""

HANG, DEAF, IN_C = 1, 2, 3
"""Arguments of `wait`: hang until interrupted; go on after that; hang where Python is not heard."""
RETURN, FAIL, EXIT, LIVE_ON = 1, 2, 3, 4
"""Arguments of `get`: what the child does that it forks. `LIVE_ON`: it waits for a signal."""


def say(word: object) -> None:
    os.write(1, f"{word}\n".encode())


def _hang(id: int) -> None:
    if id == IN_C:
        say("hanging")
        libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
        while True:
            libc.pthread_mutex_lock(mutex)  # the second time for ever
    if signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, None):
        _say_signals()
    for word in itertools.chain(["hanging"], itertools.repeat("still hanging")):
        try:
            say(word)  # in here: the next signal may come as soon as it is read
            while True:
                # Not `signal.pause`: a signal between Python's check for signals and the system call is lost on it.
                select.select([], [], [], 0.01)
        except BaseException as error:
            say(type(error).__name__)
            if id != DEAF:
                raise


def _say_signals() -> None:
    """Print a word when the server's handler of a signal has run, so that a test knows when to send the next one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        handler: Any = signal.getsignal(number)
        if not callable(handler):
            continue

        def told(found: int, frame: Any, handler: Callable[..., object] = handler) -> None:
            try:
                handler(found, frame)
            finally:
                say("signal")

        signal.signal(number, told)


def _fork(id: int) -> Any:
    pid = os.fork()
    if not pid:
        if id == LIVE_ON:
            say(os.getpid())
            while True:
                select.select([], [], [], 0.01)
        if id == FAIL:
            raise ValueError("the child fails")
        if id == EXIT:
            sys.exit(7)
        return User(id=-1)
    if id == LIVE_ON:
        return User(id=pid)
    return User(id=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


class Odd(Users):
    def wait(self, id: int) -> Any:
        return _hang(id)

    def get(self, id: int) -> Any:
        return _fork(id)

    def poke(self, id: int) -> None:
        say("poked")


class AsyncOdd(Odd):
    async def wait(self, id: int) -> Any:
        return _hang(id)

    async def get(self, id: int) -> Any:
        return _fork(id)


async def _hanging_filter(call: Any, next: Any) -> Any:
    if call.method.name == "wait":
        _hang(*call.arguments)
    return await next(call)


def main(kind: str) -> None:
    options: dict[str, Any] = {"drain_s": 0.01}
    handlers = user_service(AsyncOdd() if kind in ("async", "asyncio") else Odd())
    if kind in ("asyncio", "asyncio plain"):
        asyncio.run(_serve(AsyncServer(handlers, **options)))
        say("ended")
        return
    if kind == "processes":
        server: Any = ProcessServer(handlers, processes=1, **options)
    else:
        if kind == "filter":
            options["filters"] = [_hanging_filter]
        elif kind == "workers":
            options["workers"] = 2
        server = Server(handlers, **options)
    with server:
        say(server.port)
        server.serve()
    say("ended")


async def _serve(server: AsyncServer) -> None:
    async with server:
        say(server.port)
        await server.serve()


class Program:
    """The running program."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = int(self.word())

    def word(self) -> str:
        """Return the next word that it prints; empty when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)


@contextmanager
def program(kind: str) -> Generator[Program]:
    """Run the program; at the end it and all of its children are killed."""
    here = Path(__file__)
    path = os.pathsep.join([str(here.parents[2] / "runtime"), str(here.parent)])
    process = subprocess.Popen(
        [sys.executable, str(here), kind],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    # A program that does not say what a test waits for fails the test: its output ends.
    timer = threading.Timer(2 * TIMEOUT, kill)
    timer.start()
    try:
        yield Program(process)
    finally:
        timer.cancel()
        kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


if __name__ == "__main__":
    main(sys.argv[1])
