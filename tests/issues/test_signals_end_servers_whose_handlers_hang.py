"""The first signal drains a server, the second one interrupts a handler that hangs, the third one kills."""

from __future__ import annotations

import signal

import pytest
from eventually import TIMEOUT, eventually
from hand_written import WAIT, connect_raw, requests
from odd_server import DEAF, HANG, IN_C, program

pytestmark = pytest.mark.slow

# Where a handler holds up the thread that signals come to.
HELD_UP = ("inline", "filter", "asyncio", "asyncio plain", "processes")
NUMBERS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("kind", HELD_UP)
def test_the_second_signal_raises_in_a_handler_that_hangs(
    kind: str, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    raised = "SystemExit" if number == signal.SIGTERM or kind == "processes" else "KeyboardInterrupt"
    with program(kind) as server, connect_raw(server.port) as raw:
        raw.sendall(requests((WAIT, (HANG,)), (WAIT, (HANG,))))
        assert server.word() == "hanging"
        server.send(number)
        assert server.word() == "signal"
        server.send(number)

        # The second call, which has come too, is not begun.
        assert [server.word() for _ in range(3)] == ["signal", raised, "ended"]
        assert server.process.wait(TIMEOUT) == 0
    assert "never awaited" not in capfd.readouterr().err


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("kind", HELD_UP)
def test_the_third_signal_kills_whatever_a_handler_does(kind: str, number: signal.Signals) -> None:
    with program(kind) as server, connect_raw(server.port) as raw:
        raw.sendall(requests((WAIT, (DEAF,))))
        assert server.word() == "hanging"
        server.send(number)
        assert server.word() == "signal"
        server.send(number)
        assert server.word() == "signal"
        assert server.word() in ("SystemExit", "KeyboardInterrupt")
        assert server.word() == "still hanging"
        server.send(number)

        # The supervisor of processes kills them, and ends in good order.
        assert server.word() == ("ended" if kind == "processes" else "")
        assert server.process.wait(TIMEOUT) == (0 if kind == "processes" else -number)


@pytest.mark.parametrize("kind", ["inline", "asyncio"])
def test_a_handler_that_hangs_where_python_is_not_heard_is_killed(kind: str) -> None:
    with program(kind) as server, connect_raw(server.port) as raw:
        raw.sendall(requests((WAIT, (IN_C,))))
        assert server.word() == "hanging"

        def is_ended() -> bool:
            server.send(signal.SIGTERM)
            return server.process.poll() is not None

        eventually(is_ended)
        assert server.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("kind", ["workers", "async"])
def test_handlers_that_hang_on_other_threads_are_left_behind_at_the_second_signal(kind: str) -> None:
    with program(kind) as server, connect_raw(server.port) as raw:
        raw.sendall(requests((WAIT, (IN_C,))))
        assert server.word() == "hanging"
        server.send(signal.SIGTERM)

        def is_draining() -> bool:
            try:
                connect_raw(server.port).close()
            except OSError:
                return True
            return False

        eventually(is_draining)
        server.send(signal.SIGTERM)
        assert server.word() == "ended"
        assert server.process.wait(TIMEOUT) == 0
