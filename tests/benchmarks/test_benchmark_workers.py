"""Workers of benchmarks: what goes wrong in a thread or a process is raised."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from benchmarks.workers import Process, Threads, WorkerError, background, process, run_process

ECHO = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    if line == "break\\n":
        sys.exit("it is broken")
    print(float(line) * 2, flush=True)
"""


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_threads_that_succeed_are_joined() -> None:
    found: list[int] = []
    with Threads(lambda: found.append(1), lambda: found.append(2)):
        pass
    assert sorted(found) == [1, 2]


def test_the_error_of_a_thread_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no such thing")

    with pytest.raises(WorkerError, match="1 of 2 threads failed: ValueError: no such thing") as caught:
        Threads(fail, lambda: None).join()
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_failing_thread_stops_the_others_and_ends_the_wait() -> None:
    over = threading.Event()

    def fail() -> None:
        raise ValueError("no such thing")

    # Both the other thread and the wait would take for ever.
    with pytest.raises(WorkerError, match="no such thing"), Threads(over.wait, fail, stop=over.set) as threads:
        threads.sleep(3600)


def test_an_error_beside_the_threads_is_not_hidden_by_theirs() -> None:
    over = threading.Event()

    def fail_when_stopped() -> None:
        over.wait()
        raise ValueError("stopped")

    with pytest.raises(KeyError), Threads(fail_when_stopped, stop=over.set):
        raise KeyError("something else")


def test_a_process_answers_lines() -> None:
    started = Process(program(ECHO))
    assert (started.first, started.ask("1.5")) == ("ready", 3.0)
    started.end()


def test_a_process_that_ends_before_its_first_line_raises_what_it_wrote() -> None:
    with pytest.raises(WorkerError, match=r"(?s)ended too early with exit status 1:.*nothing to do"):
        Process(program("import sys; sys.exit('nothing to do')"))


def test_a_process_that_ends_instead_of_answering_raises_what_it_wrote() -> None:
    started = Process(program(ECHO))
    with pytest.raises(WorkerError, match=r"(?s)exit status 1:.*it is broken"):
        started.ask("break")
    with pytest.raises(WorkerError, match=r"(?s)exit status 1:.*it is broken"):
        started.end()


def test_a_process_that_fails_at_its_end_raises_what_it_wrote() -> None:
    started = Process(program("import sys; print('ready', flush=True); sys.stdin.read(); sys.exit('left over')"))
    with pytest.raises(WorkerError, match=r"(?s)failed with exit status 1:.*left over"):
        started.end()


def test_a_module_that_fails_raises() -> None:
    with pytest.raises(WorkerError, match="exit status 1"), process("benchmarks.echo_server", "unknown kind", "."):
        raise AssertionError("it has not started")


def test_a_background_process_is_killed_at_the_end() -> None:
    with background(program(ECHO)) as running:
        assert running.ask("2") == 4.0


def test_a_background_process_may_be_killed_on_purpose() -> None:
    with background(program(ECHO)) as running:
        running.kill()


def test_a_background_process_that_ends_by_itself_raises() -> None:
    ending = pytest.raises(WorkerError, match=r"(?s)ended too early with exit status 1:.*it is broken")
    with ending, background(program(ECHO)) as running, pytest.raises(WorkerError):
        running.ask("break")


def test_run_process_returns_what_it_printed(tmp_path: Path) -> None:
    written, seconds = run_process(program("print('done')"))
    assert written == "done\n"
    assert seconds > 0


def test_run_process_raises_what_it_wrote() -> None:
    with pytest.raises(WorkerError, match=r"(?s)exit status 3.*nothing to do"):
        run_process(program("import sys; print('nothing to do', file=sys.stderr); sys.exit(3)"))
