"""Server of several processes at one address, with a supervisor that restarts them.

The supervisor binds the address and never serves. It keeps one listening socket for each process open (`SO_REUSEPORT`:
the kernel distributes connections), or a shared one for a Unix socket, so that a process that is restarted accepts the
connections that waited. It restarts at once if the process has run for a while, else after a delay that doubles.

Processes are forked when serving begins, before the supervisor starts any thread. They stop by themselves when the
supervisor is gone.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from idlrt.core import ALWAYS, Handlers
from idlrt.core.forks import forks
from idlrt.core.keyword_options import documented
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.net import socket_inode
from idlrt.observe.tracing.switch import TRACING
from idlrt.server.base import ServerBase
from idlrt.server.lifeline import Lifeline
from idlrt.server.process_slot import ProcessSlot, add_slots
from idlrt.server.process_stats import ProcessStats, report_numbers
from idlrt.server.restarts import exit_code, exit_text
from idlrt.server.server import Server
from idlrt.server.settings import SERVER_DEFAULTS, ServerOptions
from idlrt.server.signals import StopSignals
from idlrt.server.worker_spans import WorkerSpans

if TYPE_CHECKING:
    from idlrt.observe.sources import Source
    from idlrt.server.admin.checks import Check

__all__ = ["ProcessServer"]

_log = get_logger("idlrt.server")


# Time before a process is killed, beyond what its own stop may take, in seconds.
_KILL_MARGIN: Final = 5.0
_TICK: Final = 0.05
# Time without a tick after which the supervisor counts as blocked. Waiting for the registry takes less.
_BLOCKED_AFTER: Final = 5.0


class ProcessServer(ServerBase):
    """Server of several processes, each of which runs a `Server` with the same arguments.

    `workers`, `max_in_flight` and `max_connections` apply to each process separately.

    Args:
        processes: number of processes, at least 1.
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
        """Create a server. It does not listen yet."""
        if not hasattr(os, "fork"):
            what = (
                "cannot start server processes: this system has no fork(); start several servers with reuse_port=True"
            )
            raise ConfigurationError(what)
        if processes < 1:
            raise ConfigurationError(f"processes: must be at least 1, got {processes!r}")
        self._slots: list[ProcessSlot] = []
        self._stats = ProcessStats(self._slots, processes)
        self._ticked_at = 0.0
        super().__init__(handlers, address, **options)
        # The supervisor registers once for all processes, and has their admin port.
        for name in ("registry", "instance", "admin", "health"):
            options.pop(name, None)  # type: ignore[misc]
        options["metrics"] = self._monitor is not None
        self._arguments = handlers, address, options
        self._processes = processes
        self._is_forced = False
        self._is_killing = False
        self._kill_after_s: float | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._lifeline = Lifeline()
        self._spans = WorkerSpans(is_on=self._admin is not None)
        # Memory shared with the processes: 1 once they must stop at once.
        self._force_flag = mmap.mmap(-1, 1)
        self._forks = forks.count
        # Identifier of the thread that is forking a process; 0 if none is.
        self._forking = 0
        forks.register(self)

    # Lifecycle.

    def bind(self) -> Self:
        """Bind the address, so that `address` and `port` are known. `serve` and `start` do it if necessary.

        Raises:
            ConfigurationError: the address is not available, or the server has been stopped.
        """
        with self._lock:
            if self._stopped.is_set() or self._is_stopping:
                raise ConfigurationError("cannot start the server: it has been stopped; create a new one")
            if not self._slots:
                self._take_address()
        return self

    def _take_address(self) -> None:
        wanted = self._address
        if self._admin is not None:
            self._admin.bind()
        try:
            wanted = add_slots(self._slots, self._processes, wanted, self._settings.backlog)
        except OSError as error:
            self._close_sockets()
            self._slots.clear()
            self._close_admin()
            raise ConfigurationError(f"cannot listen on {wanted}: {error.strerror or error}") from error
        self._bound = wanted
        self._listening = self._slots[0].listening
        self._file = socket_inode(wanted)
        self._lifeline.open()

    def __enter__(self) -> Self:
        return self.bind()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def serve(self) -> None:
        """Serve until `stop` is called, or, on the main thread, until Ctrl+C or SIGTERM.

        The first signal drains the processes. The second one stops them at once, and interrupts handlers as in
        `Server.serve`; the third one kills the processes.

        Raises:
            ConfigurationError: the address is not available, or the server was started before.
        """
        self._mark_started()
        numbers = signal.SIGINT, signal.SIGTERM
        with StopSignals(numbers, drain=self._drain, force_stop=self._force_stop, kill=self._kill):
            self._fork_all()
            self._supervise()

    def start(self) -> Self:
        """Fork the processes, and supervise them on a background thread until `stop` is called.

        Raises:
            ConfigurationError: the address is not available, or the server was started before.
        """
        self._mark_started()
        self._fork_all()
        threading.Thread(target=self._supervise, name="idlrt supervisor", daemon=True).start()
        self._wait_registered()
        return self

    def stop(self, grace_s: float | None = None) -> None:
        """Stop all processes as `Server.stop` does, and return when they have exited.

        In a forked child of the process that created the server it does nothing.

        Args:
            grace_s: seconds after which processes are killed. Default: `drain_s` + `grace_s` of the server + 5.
        """
        if self._forks != forks.count:
            return  # it belongs to the parent
        with self._lock:
            self._kill_after_s = None if grace_s is None else self._grace(grace_s)
            self._is_stopping = True
            if not self._is_started:
                self._is_started = True
                self._end()
        self._stopped.wait()

    @property
    def pids(self) -> list[int]:
        """Process ids of the running processes."""
        return [slot.pid for slot in self._slots if slot.pid]

    def _mark_started(self) -> None:
        self.bind()
        with self._lock:
            if self._is_started:
                raise ConfigurationError("cannot start the server: it was started before; create a new one")
            self._is_started = True
            self._forks = forks.count

    def after_fork(self) -> None:
        """Close all inherited file descriptors in a forked child that is not a server process.

        That includes the lifeline: while a child holds it, the processes do not notice that the supervisor is gone.
        """
        if not self._is_started or self._forking == threading.get_ident():
            return
        self._close_sockets()
        self._lifeline.close()
        self._file = 0

    # Processes.

    def _fork_all(self) -> None:
        for slot in self._slots:
            self._fork(slot)

    def _fork(self, slot: ProcessSlot) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        slot.started_at = time.monotonic()
        self._stats.clear(self._slots.index(slot))
        spans = self._spans.open()
        # Block signals until the process has its own handlers.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        self._forking = threading.get_ident()
        try:
            pid = os.fork()
            self._forking = 0
        except OSError as error:
            self._forking = 0
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._spans.started(spans, is_forked=False)
            delay = slot.delay.next(0.0)
            slot.start_at = slot.started_at + delay
            _log.error("cannot fork a server process: %s; retrying in %g s", error, delay, extra={"delay_s": delay})
            return
        if pid:
            self._spans.started(spans, is_forked=True)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            slot.pid = pid
            services, address = str(self._served), str(self._bound)
            fields = {**ALWAYS, "pid": pid, "services": services, "address": address}
            _log.info("serving %s on %s in process %d", services, address, pid, extra=fields)
            return
        status = 1
        try:
            self._lifeline.close_writer()
            self._spans.enter(spans)
            self._serve_as_process(slot)
            status = 0
        except BaseException:  # noqa: BLE001  # the process exits here after any exception
            traceback.print_exc()
        finally:
            TRACING.close_at_exit()  # `atexit` does not do it here
            logging.shutdown()
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _serve_as_process(self, slot: ProcessSlot) -> None:
        for other in self._slots:
            if other.listening is not slot.listening:
                other.listening.close()
        handlers, address, options = self._arguments
        self._stats.enter(number := self._slots.index(slot))
        server = Server(handlers, address, **options)
        server.use_socket(slot.listening, self._bound)
        if self._admin is not None or self._monitor is not None:
            server.bind()
            report_numbers(self._stats, number, server, server.call_threadsafe)
        # Ctrl+C reaches all processes of a terminal; only the supervisor reacts to it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Before it serves there is nothing to drain.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        self._lifeline.watch(server.stop)
        # A service manager may signal every process of the group, and the supervisor passes the signal on: both count
        # as one request to stop.
        server.serve(signals=(signal.SIGTERM,), counts=lambda: self._force_flag[0] == 1)

    def _supervise(self) -> None:
        try:
            self._open_admin()
            self._register()
            while not self._is_stopping:
                self._ticked_at = time.monotonic()
                self._restart_exited()
                # Signals and `stop` take effect within a tick.
                self._spans.wait(_TICK)
            self._stop_processes()
        finally:
            self._end()

    def _restart_exited(self) -> None:
        """Restart processes that have exited."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.pid and (status := exit_code(slot.pid)) is not None:
                delay = slot.delay.next(now - slot.started_at)
                fields = {"pid": slot.pid, "status": status, "delay_s": delay}
                _log.error("process %d %s; restarting it in %g s", slot.pid, exit_text(status), delay, extra=fields)
                slot.pid = 0
                slot.start_at = now + delay
            if not slot.pid and now >= slot.start_at:
                slot.restarts += 1
                self._fork(slot)

    def _stop_processes(self) -> None:
        settings = self._settings
        usual = settings.drain_s + settings.grace_s + _KILL_MARGIN
        end = time.monotonic() + (usual if self._kill_after_s is None else self._kill_after_s)
        self._deregister()
        self._send(signal.SIGTERM)
        is_forced = False
        while self.pids:
            self._ticked_at = time.monotonic()
            if self._is_killing:
                self._send(signal.SIGKILL)
            for slot in self._slots:
                if slot.pid and exit_code(slot.pid) is not None:
                    slot.pid = 0
            if self.pids and time.monotonic() >= end:
                pids = self.pids
                _log.warning(
                    "killing processes that did not stop in time: %s", ", ".join(map(str, pids)), extra={"pids": pids}
                )
                self._send(signal.SIGKILL)
                end = float("inf")
            if self.pids:
                self._spans.wait(_TICK)
            if self._is_forced and not is_forced:
                # Sent only now that the first signal has been handled: the kernel merges pending signals of one kind.
                is_forced = True
                self._force_flag[0] = 1
                self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _close_sockets(self) -> None:
        for slot in self._slots:
            slot.listening.close()

    def _end(self) -> None:
        self._close_sockets()
        self._lifeline.close()
        self._unlink()
        try:
            self._spans.close()
        finally:
            self._close_admin()
            self._stopped.set()

    # Admin port.

    def _new_server(self, handlers: Handlers, address: str, options: dict[str, Any]) -> Server:
        return Server(handlers, address, **options)

    def _make_source(self) -> Source:
        return self._stats.measure()

    def _numbers(self) -> Mapping[str, int]:
        return self._stats.numbers()

    def _details(self) -> Mapping[str, Any]:
        return self._stats.details()

    def _loop_checks(self) -> Sequence[Check]:
        from idlrt.server.admin.checks import PlainCheck

        return (PlainCheck("supervisor", self._why_blocked),)

    def _ready_checks(self) -> Sequence[Check]:
        from idlrt.server.admin.checks import PlainCheck

        return (PlainCheck("processes", self._stats.failure),)

    def _why_blocked(self) -> str:
        is_blocked = 0 < self._ticked_at < time.monotonic() - _BLOCKED_AFTER
        return f"the supervisor did not run for {_BLOCKED_AFTER:g} s" if is_blocked else ""

    # Signals.

    def _drain(self) -> None:
        self._is_stopping = True

    def _force_stop(self, is_interrupted: bool) -> None:
        self._is_stopping = self._is_forced = True

    def _kill(self) -> None:
        self._is_killing = True
