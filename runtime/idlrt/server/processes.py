"""Several processes that serve one address, and a supervisor that keeps them alive.

The supervisor takes the address and never serves: for each process it has a socket that listens there
(`SO_REUSEPORT`: the system shares connections out), and for a unix socket one for all. It keeps them, so when a
process dies nobody who has connected is turned away: the next process finds them in the queue. A process that dies
is started again, at once if it has lived for a while, else after a pause that doubles.

Processes are forked when serving begins, before the supervisor starts any thread. They notice when the supervisor is
gone and stop by themselves.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self, Unpack

from idlrt.core import ALWAYS, Handlers
from idlrt.core.forks import forks
from idlrt.core.keyword_options import documented
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.net import Address, file_of, listen
from idlrt.server.base import ServerBase
from idlrt.server.server import Server
from idlrt.server.settings import SERVER_DEFAULTS, ServerOptions
from idlrt.server.signals import StopSignals

__all__ = ["ProcessServer", "RestartDelay"]

_log = get_logger("idlrt.server")

# Seconds after which a process that dies is started again at once.
_LIVED: Final = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
# Seconds that a process gets beyond what its own stop may take.
_MARGIN: Final = 5.0
_TICK: Final = 0.05


class RestartDelay:
    """Delay before a process that ended is started again: none for one that has lived for a while; for the others it
    doubles each time, so that a process which cannot start does not occupy the machine.
    """

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE

    def next(self, lifetime: float) -> float:
        """Return the delay in seconds, and prepare for the next time.

        Args:
            lifetime: seconds that the process has lived; 0 if it could not be started.
        """
        if lifetime >= _LIVED:
            self._next = _FIRST_PAUSE
            return 0.0
        delay = self._next
        self._next = min(delay * 2, _LONGEST_PAUSE)
        return delay


class _Seat:
    """A place for one process: its socket, and who has it now."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.pid = 0
        self.started_at = 0.0
        self.start_at = 0.0
        self.delay = RestartDelay()


class ProcessServer(ServerBase):
    """Server of several processes, each of them a `Server`. It takes the same arguments.

    Each process has its own `workers`, `max_in_flight` and `max_connections`.

    Args:
        processes: number of processes, 1 or more.
    """

    @documented(ServerOptions, SERVER_DEFAULTS)
    def __init__(
        self,
        handlers: Handlers | Sequence[Handlers],
        address: str = "127.0.0.1:0",
        *,
        processes: int,
        **options: Unpack[ServerOptions],
    ) -> None:
        """Prepare a server. It does not listen yet."""
        if not hasattr(os, "fork"):
            raise ConfigurationError("this system cannot fork; start several servers with reuse_port=True")
        if processes < 1:
            raise ConfigurationError(f"processes must be a whole number of 1 or more, not {processes!r}")
        super().__init__(handlers, address, **options)
        # The supervisor is registered, for all of them.
        options.pop("registry", None)
        options.pop("instance", None)
        self._arguments = handlers, address, options
        self._processes = processes
        self._seats: list[_Seat] = []
        self._is_stopping = False
        self._is_hurried = False
        self._is_killing = False
        self._is_taken = False
        self._patience_s: float | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        # Processes end when they can read the end of this.
        self._life_in, self._life_out = -1, -1
        # Shared with the processes: 1 once they are to hurry.
        self._told_to_hurry = mmap.mmap(-1, 1)
        self._forks = forks.count
        # The thread that forks one of its processes at the moment.
        self._forking = 0
        forks.renew(self)

    # Life.

    def bind(self) -> Self:
        """Take the address, so that `address` and `port` are known. Serving does it too.

        Raises:
            ConfigurationError: the address cannot be had, or the server was stopped.
        """
        with self._lock:
            if self._stopped.is_set() or self._is_stopping:
                raise ConfigurationError("the server was stopped; make a new one")
            if not self._seats:
                self._take_address()
        return self

    def _take_address(self) -> None:
        settings, is_unix = self._settings, bool(self._wanted.path)
        wanted = self._wanted
        try:
            for number in range(self._processes):
                if number and is_unix:
                    self._seats.append(_Seat(self._seats[0].listening))
                    continue
                listening = listen(wanted, backlog=settings.backlog, reuse_port=not is_unix)
                self._seats.append(_Seat(listening))
                if not is_unix:
                    wanted = Address(wanted.host, listening.getsockname()[1])
        except OSError as error:
            self._close_sockets()
            raise ConfigurationError(f"cannot listen on {wanted}: {error.strerror or error}") from error
        self._bound = wanted
        self._listening = self._seats[0].listening
        self._file = file_of(wanted)
        self._life_in, self._life_out = os.pipe()

    def __enter__(self) -> Self:
        return self.bind()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def serve(self) -> None:
        """Serve until `stop` is called, or, on the main thread, until Ctrl+C or SIGTERM. The second signal stops at
        once, and interrupts handlers as in `Server.serve`; the third one kills the processes.

        Raises:
            ConfigurationError: the address cannot be had, or the server runs or ran already.
        """
        self._take()
        numbers = signal.SIGINT, signal.SIGTERM
        with StopSignals(numbers, drain=self._drain, hurry=self._hurry, kill=self._kill):
            self._fork_all()
            self._supervise()

    def start(self) -> Self:
        """Fork the processes, and supervise them on a thread until `stop` is called.

        Raises:
            ConfigurationError: the address cannot be had, or the server runs or ran already.
        """
        self._take()
        self._fork_all()
        threading.Thread(target=self._supervise, name="idlrt supervisor", daemon=True).start()
        self._settle()
        return self

    def stop(self, grace_s: float | None = None) -> None:
        """Stop all processes as `Server.stop` does, and return when they have ended. Like that it does nothing in a
        child of the process that made the server.

        Args:
            grace_s: seconds that they get, instead of what their own grace time makes of it; then they are killed.
        """
        if self._forks != forks.count:
            return  # it is the parent's
        with self._lock:
            self._patience_s = None if grace_s is None else self._grace(grace_s)
            self._is_stopping = True
            if not self._is_taken:
                self._is_taken = True
                self._end()
        self._stopped.wait()

    @property
    def pids(self) -> list[int]:
        """The processes that run at the moment."""
        return [seat.pid for seat in self._seats if seat.pid]

    def _take(self) -> None:
        self.bind()
        with self._lock:
            if self._is_taken:
                raise ConfigurationError("the server runs already; a server runs once")
            self._is_taken = True
            self._forks = forks.count

    def renew(self) -> None:
        """In a child of the process that is none of its own: keep nothing open, see `Server.renew`. Not even what tells
        its processes that the supervisor is gone.
        """
        if not self._is_taken or self._forking == threading.get_ident():
            return
        self._close_sockets()
        self._close_lifeline()
        self._file = 0

    # Processes.

    def _fork_all(self) -> None:
        for seat in self._seats:
            self._fork(seat)

    def _fork(self, seat: _Seat) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        seat.started_at = time.monotonic()
        # A signal for the process waits until that can take it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        self._forking = threading.get_ident()
        try:
            pid = os.fork()
            self._forking = 0
        except OSError as error:
            self._forking = 0
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            seat.start_at = seat.started_at + seat.delay.next(0.0)
            _log.error("cannot start a process, trying again: %s", error)
            return
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            seat.pid = pid
            _log.info("process %d serves %s on %s", pid, str(self._served), str(self._bound), extra=ALWAYS)
            return
        status = 1
        try:
            os.close(self._life_out)
            self._life_out = -1
            self._serve_as_process(seat)
            status = 0
        except BaseException:  # noqa: BLE001  # the process ends here, whatever it was
            traceback.print_exc()
        finally:
            logging.shutdown()
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _serve_as_process(self, seat: _Seat) -> None:
        for other in self._seats:
            if other.listening is not seat.listening:
                other.listening.close()
        handlers, address, options = self._arguments
        server = Server(handlers, address, **options)
        server.adopt(seat.listening, self._bound)
        # Ctrl+C reaches all processes of a terminal; the supervisor decides what is done.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Until it serves there is nothing to be ended in good order.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        threading.Thread(target=_stop_with, args=(self._life_in, server), name="idlrt lifeline", daemon=True).start()
        # Service managers signal every process of the group, and then the supervisor does: that is one request to stop.
        server.serve(signals=(signal.SIGTERM,), is_meant=lambda: self._told_to_hurry[0] == 1)

    def _supervise(self) -> None:
        try:
            self._announce()
            while not self._is_stopping:
                self._look()
                # Signals and `stop` are noticed within a tick.
                select.select([], [], [], _TICK)
            self._stop_processes()
        finally:
            self._end()

    def _look(self) -> None:
        """Start what has died."""
        now = time.monotonic()
        for seat in self._seats:
            if seat.pid and (status := _ended(seat.pid)) is not None:
                _log.error("process %d ended with %s; starting another", seat.pid, _status_text(status))
                seat.pid = 0
                seat.start_at = now + seat.delay.next(now - seat.started_at)
            if not seat.pid and now >= seat.start_at:
                self._fork(seat)

    def _stop_processes(self) -> None:
        settings = self._settings
        usual = settings.drain_s + settings.grace_s + _MARGIN
        end = time.monotonic() + (usual if self._patience_s is None else self._patience_s)
        self._withdraw()
        self._send(signal.SIGTERM)
        is_hurried = False
        while self.pids:
            if self._is_killing:
                self._send(signal.SIGKILL)
            for seat in self._seats:
                if seat.pid and _ended(seat.pid) is not None:
                    seat.pid = 0
            if self.pids and time.monotonic() >= end:
                _log.warning("killing processes that did not stop in time: %s", ", ".join(map(str, self.pids)))
                self._send(signal.SIGKILL)
                end = float("inf")
            if self.pids:
                select.select([], [], [], _TICK)
            if self._is_hurried and not is_hurried:
                # After the first one was taken: two that wait are one.
                is_hurried = True
                self._told_to_hurry[0] = 1
                self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _close_sockets(self) -> None:
        for seat in self._seats:
            seat.listening.close()

    def _close_lifeline(self) -> None:
        for descriptor in (self._life_in, self._life_out):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._life_in = self._life_out = -1

    def _end(self) -> None:
        self._close_sockets()
        self._close_lifeline()
        self._unlink()
        self._stopped.set()

    # Signals.

    def _drain(self) -> None:
        self._is_stopping = True

    def _hurry(self, is_interrupted: bool) -> None:
        self._is_stopping = self._is_hurried = True

    def _kill(self) -> None:
        self._is_killing = True


def _stop_with(lifeline: int, server: Server) -> None:
    """Stop `server` when the supervisor is gone."""
    with contextlib.suppress(OSError):
        while os.read(lifeline, 1):
            pass
    server.stop()


def _ended(pid: int) -> int | None:
    """With which status a process has ended; `None` if it runs."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0  # somebody else has asked already
    return os.waitstatus_to_exitcode(status) if found else None


def _status_text(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-status).name
    return f"status {status}"
