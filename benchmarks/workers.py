"""Threads and processes that do the work of a benchmark, and whose failures are raised.

A part whose workers have failed has measured nothing, so it must fail: an error in a thread is raised when it is joined
it, and a process that ends early or with an exit status other than 0 raises `WorkerError` with what it wrote to stderr.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

__all__ = [
    "ROOT",
    "Process",
    "Threads",
    "WorkerError",
    "background",
    "process",
    "python",
    "run_process",
    "running",
]

ROOT = Path(__file__).parents[1]
# Seconds that a process may take to end after its input has.
_END_TIMEOUT = 60.0
_SHOWN = 4000


class WorkerError(RuntimeError):
    """A thread or a process of a benchmark has failed."""


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this Python."""
    return [sys.executable, "-m", module, *arguments]


class Threads:
    """Threads that start at once. Use it in a `with`; leaving that joins them and raises their first error.

    Args:
        runs: what each thread calls.
        stop: called when the `with` ends or a thread fails, so that threads which run until they are stopped end.
    """

    def __init__(self, *runs: Callable[[], object], stop: Callable[[], object] = lambda: None) -> None:
        self._stop = stop
        self._errors: list[BaseException] = []
        self._has_failed = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(run,)) for run in runs]
        for thread in self._threads:
            thread.start()

    def _run(self, run: Callable[[], object]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001  # raised by `join`
            self._errors.append(error)
            self._has_failed.set()
            self._stop()

    def sleep(self, seconds: float) -> None:
        """Let the threads run for a while.

        Raises:
            WorkerError: one of them has failed; not after `seconds`, but at once.
        """
        if self._has_failed.wait(seconds):
            self.join()

    def join(self) -> None:
        """Wait for all threads.

        Raises:
            WorkerError: at least one of them has failed; its cause is the first error.
        """
        for thread in self._threads:
            thread.join()
        if self._errors:
            first = self._errors[0]
            failed = f"{len(self._errors)} of {len(self._threads)} threads failed"
            raise WorkerError(f"{failed}: {type(first).__name__}: {first}") from first

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if error is None:
            self.join()
        else:
            with contextlib.suppress(WorkerError):  # what is being raised is the reason
                self.join()


class Process:
    """A child process that answers each line with a line.

    Args:
        command: what to run, in the root of the project.
        environment: of the process; `None`: that of this one.
        is_quiet: whether not to wait for its first line.

    Attributes:
        pid: of the process.
        first: its first line, stripped; empty if it is not waited for.

    Raises:
        WorkerError: it ended before its first line.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, is_quiet: bool = False
    ) -> None:
        self._command = command
        self._is_killed = False
        # A file, because a pipe that is not read stops a process that writes much.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # `_release`
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self.pid = self._process.pid
        try:
            self.first = "" if is_quiet else self.read_line()
        except WorkerError:
            self._release()
            raise

    def read_line(self) -> str:
        """Wait for a line, and return it stripped.

        Raises:
            WorkerError: the process has ended.
        """
        answer = _pipe(self._process.stdout).readline()
        if not answer:
            self._process.wait(_END_TIMEOUT)
            raise self._error("ended too early")
        return answer.strip()

    def send(self, line: str) -> None:
        """Send a line that is not answered.

        Raises:
            WorkerError: the process has ended.
        """
        pipe = _pipe(self._process.stdin)
        try:
            pipe.write(line + "\n")
            pipe.flush()
        except BrokenPipeError:
            self._process.wait(_END_TIMEOUT)
            raise self._error("ended too early") from None

    def ask(self, line: str) -> float:
        """Send a line, and return the number that it is answered with.

        Raises:
            WorkerError: the process has ended.
        """
        self.send(line)
        return float(self.read_line())

    def kill(self) -> None:
        """End it with SIGKILL, on purpose. It may not have ended by itself before.

        Raises:
            WorkerError: it had.
        """
        self.check()
        self._is_killed = True
        self._process.kill()

    def check(self) -> None:
        """Raise `WorkerError` if the process has ended, unless `kill` has ended it."""
        if not self._is_killed and self._process.poll() is not None:
            raise self._error("ended too early")

    def end(self) -> None:
        """Close its input, and wait until it ends.

        Raises:
            WorkerError: it has failed.
        """
        try:
            with contextlib.suppress(BrokenPipeError):
                _pipe(self._process.stdin).close()
            if self._process.wait(_END_TIMEOUT) and not self._is_killed:
                raise self._error("failed")
        finally:
            self._release()

    def stop(self) -> None:
        """Kill it if it is still there.

        Raises:
            WorkerError: it has ended by itself before.
        """
        try:
            if not self._is_killed:
                self.kill()
            self._process.wait()
        finally:
            self._release()

    def _error(self, what: str) -> WorkerError:
        return _failed(self._command, what, self._process.returncode, self._written())

    def _written(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def _release(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        self._errors.close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextlib.contextmanager
def running(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run a command that ends when its input does; if the body fails, it is killed.

    Raises:
        WorkerError: the process has failed. If that made the body fail, the error of the body is the context.
    """
    started = Process(command, environment=environment)
    try:
        yield started
    except BaseException:
        started.stop()
        raise
    started.end()


def process(module: str, *arguments: str) -> contextlib.AbstractContextManager[Process]:
    """Run a Python module in the same way."""
    return running(python(module, *arguments))


@contextlib.contextmanager
def background(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, is_quiet: bool = False
) -> Iterator[Process]:
    """Run a process that is killed in the end.

    Raises:
        WorkerError: the process has ended by itself. If that made the body fail, the error of the body is the context.
    """
    started = Process(command, environment=environment, is_quiet=is_quiet)
    try:
        yield started
    finally:
        started.stop()


def run_process(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> tuple[str, float]:
    """Run a process to its end, and return what it wrote to stdout, and its wall-clock seconds.

    Raises:
        WorkerError: its exit status is not 0.
    """
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise _failed(command, "failed", done.returncode, done.stderr)
    return done.stdout, seconds


def _failed(command: Sequence[str], what: str, status: int | None, written: str) -> WorkerError:
    said = written.strip()[-_SHOWN:]
    return WorkerError(f"`{shlex.join(command)}` {what} with exit status {status}" + (f":\n{said}" if said else ""))
